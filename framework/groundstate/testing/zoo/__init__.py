"""A zoo of wrong plugins: each has one fault, and the law that names the fault catches it.

`groundstate.testing.zoo.everyone.animals()` lists them. Beside each stands the correct component
that it was made from, which obeys every law; the kit's own tests hold it to both. A law that
catches nothing would be no law.
"""
