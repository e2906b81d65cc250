"""Small instances of every component, for the conformance laws."""

from groundstate_moves.alpha_beta_swap import AlphaBetaSwap
from groundstate_moves.alpha_expansion import AlphaExpansion
from groundstate_moves.annealing import Annealing
from groundstate_moves.fusion import Fusion
from groundstate_moves.gibbs import Gibbs
from groundstate_moves.graph_cut import GraphCut
from groundstate_moves.lazy_flipper import LazyFlipper
from groundstate_moves.swendsen_wang import SwendsenWang


def graph_cuts() -> list[GraphCut]:
    return [GraphCut()]


def alpha_expansions() -> list[AlphaExpansion]:
    return [AlphaExpansion(), AlphaExpansion(violations="refuse")]


def alpha_beta_swaps() -> list[AlphaBetaSwap]:
    return [AlphaBetaSwap(), AlphaBetaSwap(violations="refuse")]


def fusions() -> list[Fusion]:
    return [Fusion(), Fusion(proposals=("random",), patience=20)]


def lazy_flippers() -> list[LazyFlipper]:
    return [LazyFlipper(), LazyFlipper(depth=3)]


def annealings() -> list[Annealing]:
    return [Annealing(sweeps=20)]


def gibbses() -> list[Gibbs]:
    return [Gibbs()]


def swendsen_wangs() -> list[SwendsenWang]:
    return [SwendsenWang()]
