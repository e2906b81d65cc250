"""Graph cuts and moves for groundstate: solvers that change many variables at once, or sample."""

from collections.abc import Iterable

from groundstate import Component, hookimpl


@hookimpl
def groundstate_components() -> Iterable[Component]:
    """What this plugin offers."""
    yield Component(
        kind="solver",
        name="graph-cut",
        target="groundstate_moves.graph_cut:GraphCut",
        summary="one minimum cut: exact on submodular pairwise problems, with certificate",
        source="Kolmogorov, Zabih: What Energy Functions Can Be Minimized via Graph Cuts? (2004)",
        needs=("FactorGraph",),
        claims=("exact", "bound", "anytime", "batched"),
        examples="groundstate_moves.examples:graph_cuts",
    )
    yield Component(
        kind="solver",
        name="alpha-expansion",
        target="groundstate_moves.alpha_expansion:AlphaExpansion",
        summary="any set of variables may change to one label at once, by minimum cuts",
        source="Boykov, Veksler, Zabih: Fast Approximate Energy Minimization via Graph Cuts (2001)",
        needs=("FactorGraph",),
        claims=("bound", "monotone", "anytime", "batched"),
        examples="groundstate_moves.examples:alpha_expansions",
    )
    yield Component(
        kind="solver",
        name="alpha-beta-swap",
        target="groundstate_moves.alpha_beta_swap:AlphaBetaSwap",
        summary="any set of variables with two labels may exchange them at once, by minimum cuts",
        source="Boykov, Veksler, Zabih: Fast Approximate Energy Minimization via Graph Cuts (2001)",
        needs=("FactorGraph",),
        claims=("bound", "monotone", "anytime", "batched"),
        examples="groundstate_moves.examples:alpha_beta_swaps",
    )
    yield Component(
        kind="solver",
        name="fusion",
        target="groundstate_moves.fusion:Fusion",
        summary="best mixtures of the labelling so far with proposed ones, by minimum cuts",
        source="Lempitsky et al.: Fusion Moves for Markov Random Field Optimization (2010)",
        needs=("FactorGraph",),
        claims=("bound", "monotone", "anytime"),
        examples="groundstate_moves.examples:fusions",
    )
