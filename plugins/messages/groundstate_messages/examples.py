"""Small instances of every component, for the conformance laws."""

from groundstate_messages.dual_decomposition import DualDecomposition
from groundstate_messages.sum_product import SumProduct
from groundstate_messages.trw import TRWBP
from groundstate_messages.trws import TRWS


def trws() -> list[TRWS]:
    return [TRWS(), TRWS(order="breadth-first", polish=False), TRWS(order="cuthill-mckee")]


def sum_products() -> list[SumProduct]:
    return [SumProduct(), SumProduct(schedule="sequential", damping=0.0)]


def trw_bps() -> list[TRWBP]:
    return [TRWBP(), TRWBP(tolerance=1e-9)]


def dual_decompositions() -> list[DualDecomposition]:
    return [DualDecomposition(), DualDecomposition(rule="decaying", size=0.5)]
