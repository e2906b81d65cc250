"""Small instances of the solvers beside conjugate gradients, for the laws of the test kit."""

from groundstate_gcrf.cholesky import Cholesky


def choleskys() -> list[Cholesky]:
    """As it comes."""
    return [Cholesky()]
