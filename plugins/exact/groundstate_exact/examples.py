"""Small instances of every component, which the test kit holds to the laws."""

from groundstate_exact.ilp import ILP
from groundstate_exact.junction_tree import JunctionTree
from groundstate_exact.lp import LP
from groundstate_exact.toulbar2 import Toulbar2
from groundstate_exact.tree_dp import TreeDP


def junction_trees() -> list[JunctionTree]:
    return [JunctionTree(marginals=True)]


def tree_dps() -> list[TreeDP]:
    return [TreeDP(marginals=True)]


def lps() -> list[LP]:
    return [LP()]


def ilps() -> list[ILP]:
    return [ILP()]


def toulbar2s() -> list[Toulbar2]:
    return [Toulbar2()]
