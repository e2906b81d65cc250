"""Small instances of every component, which the test kit holds to the laws."""

from groundstate_exact.junction_tree import JunctionTree


def junction_trees() -> list[JunctionTree]:
    return [JunctionTree(marginals=True)]
