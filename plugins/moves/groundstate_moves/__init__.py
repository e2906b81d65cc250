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
    yield from _mixtures()
    yield from _local()
    yield from _samplers()


def _mixtures() -> Iterable[Component]:
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


def _local() -> Iterable[Component]:
    yield Component(
        kind="solver",
        name="lazy-flipper",
        target="groundstate_moves.lazy_flipper:LazyFlipper",
        summary="better labels for connected sets of a few variables, until there are none",
        source="Andres et al.: The Lazy Flipper (2012)",
        needs=("FactorGraph",),
        claims=("bound", "monotone", "anytime", "batched", "higher-order-moves"),
        examples="groundstate_moves.examples:lazy_flippers",
    )
    yield Component(
        kind="solver",
        name="annealing",
        target="groundstate_moves.annealing:Annealing",
        summary="heat baths ever colder, then better labels until there are none",
        source="Kirkpatrick, Gelatt, Vecchi: Optimization by Simulated Annealing (1983)",
        needs=("FactorGraph",),
        claims=("bound", "monotone", "anytime", "higher-order-moves"),
        examples="groundstate_moves.examples:annealings",
    )


def _samplers() -> Iterable[Component]:
    yield Component(
        kind="solver",
        name="gibbs",
        target="groundstate_moves.gibbs:Gibbs",
        summary="samples, variable by variable, a colour class at once; marginals of the samples",
        source="Geman, Geman: Stochastic Relaxation, Gibbs Distributions, ... (1984)",
        needs=("FactorGraph",),
        claims=("sampler", "bound", "anytime", "higher-order-moves"),
        examples="groundstate_moves.examples:gibbses",
    )
    yield Component(
        kind="solver",
        name="swendsen-wang",
        target="groundstate_moves.swendsen_wang:SwendsenWang",
        summary="samples of Potts problems, cluster by cluster; marginals of the samples",
        source="Swendsen, Wang: Nonuniversal Critical Dynamics in Monte Carlo Simulations (1987)",
        needs=("FactorGraph",),
        claims=("bound",),
        examples="groundstate_moves.examples:swendsen_wangs",
    )
