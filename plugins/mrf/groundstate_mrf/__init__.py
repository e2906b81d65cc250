"""Discrete graphical models for groundstate: factor graphs of any order, and their solvers."""

from collections.abc import Iterable

from groundstate import Component, hookimpl


@hookimpl
def groundstate_components() -> Iterable[Component]:
    """What this plugin offers."""
    yield Component(
        kind="energy",
        name="factor-graph",
        target="groundstate_mrf.factor_graph:FactorGraphEnergy",
        summary="discrete energy of factors of any order: tables, Potts, cardinality",
        gives=("FactorGraph",),
        examples="groundstate_mrf.examples:factor_graphs",
    )
    yield Component(
        kind="energy",
        name="contrast-potts",
        target="groundstate_mrf.contrast_potts:ContrastPotts",
        summary="label costs per pixel and contrast-weighted Potts terms between 8 neighbours",
        source="Boykov, Jolly: Interactive Graph Cuts (2001)",
        gives=("FactorGraph",),
        examples="groundstate_mrf.examples:contrast_potts",
    )
    yield Component(
        kind="energy",
        name="truncated-linear",
        target="groundstate_mrf.truncated_linear:TruncatedLinear",
        summary="label costs per pixel and truncated linear prices between 4 neighbours",
        source="Boykov, Veksler, Zabih: Fast Approximate Energy Minimization (2001)",
        gives=("FactorGraph",),
        examples="groundstate_mrf.examples:truncated_linears",
    )
    yield from _solvers()
    yield Component(
        kind="adapter",
        name="relaxation",
        target="groundstate_mrf.relaxation:Relaxation",
        summary="pairwise discrete energy as a convex quadratic one, exact on every labelling",
        source="Chandra, Kokkinos: Fast, Exact and Multi-Scale Inference with Deep G-CRFs (2016)",
        gives=("Quadratic",),
        needs=("FactorGraph",),
        claims=("exact-on-vertices",),
        examples="groundstate_mrf.examples:relaxations",
    )
    yield Component(
        kind="adapter",
        name="discretise",
        target="groundstate_mrf.discretise:Discretise",
        summary="sparse quadratic energy between bounds as labels on evenly spaced values",
        gives=("FactorGraph",),
        needs=("Quadratic", "SparseMatrix"),
        examples="groundstate_mrf.examples:discretisations",
    )
    yield Component(
        kind="adapter",
        name="evidence",
        target="groundstate_mrf.conditioning:Evidence",
        summary="the problem given some labels, of a UAI evidence file or by hand",
        gives=("FactorGraph",),
        needs=("FactorGraph",),
        claims=("evidence", "exact-on-vertices"),
        examples="groundstate_mrf.examples:evidences",
    )
    yield from _learning()
    yield Component(
        kind="reader",
        name="uai",
        target="groundstate_mrf.uai:UAIReader",
        summary="Markov and Bayesian networks in the UAI competition format",
        examples="groundstate_mrf.examples:uai_readers",
    )
    yield Component(
        kind="reader",
        name="wcsp",
        target="groundstate_mrf.wcsp:WCSPReader",
        summary="weighted constraint satisfaction problems in the format of toulbar2",
        source="https://toulbar2.github.io/toulbar2/formats/wcspformat.html",
        examples="groundstate_mrf.examples:wcsp_readers",
    )
    yield Component(
        kind="reader",
        name="npz",
        target="groundstate_mrf.npz:NPZReader",
        summary="factor graphs as NumPy arrays, exact",
        examples="groundstate_mrf.examples:npz_readers",
    )


def _solvers() -> Iterable[Component]:
    yield Component(
        kind="solver",
        name="brute-force",
        target="groundstate_mrf.brute_force:BruteForce",
        summary="every labelling of a small problem; exact marginals and log Z on request",
        claims=("exact", "bound", "beliefs", "anytime", "batched", "higher-order-moves"),
        examples="groundstate_mrf.examples:brute_forces",
    )
    yield Component(
        kind="solver",
        name="icm",
        target="groundstate_mrf.icm:ICM",
        summary="best label for each variable in turn, a colour class at once, until none helps",
        source="Besag: On the Statistical Analysis of Dirty Pictures (1986)",
        needs=("FactorGraph",),
        claims=("bound", "monotone", "anytime", "batched", "higher-order-moves"),
        examples="groundstate_mrf.examples:icms",
    )
    yield Component(
        kind="solver",
        name="mean-field",
        target="groundstate_mrf.mean_field:MeanField",
        summary="best factorised beliefs, with a lower bound on log Z; the likeliest labels",
        source="Koller, Friedman: Probabilistic Graphical Models (2009), §11.5",
        needs=("FactorGraph",),
        claims=("bound", "beliefs", "anytime", "batched"),
        examples="groundstate_mrf.examples:mean_fields",
    )
    yield Component(
        kind="solver",
        name="max-product",
        target="groundstate_mrf.max_product:MaxProduct",
        summary="min-sum belief propagation with a lower bound; exact on trees",
        source="Kschischang, Frey, Loeliger: Factor Graphs and the Sum-Product Algorithm (2001)",
        needs=("FactorGraph",),
        claims=(
            "bound",
            "monotone",
            "anytime",
            "batched",
            "exact-on-trees",
            "higher-order-messages",
        ),
        examples="groundstate_mrf.examples:max_products",
    )


def _learning() -> Iterable[Component]:
    yield Component(
        kind="model",
        name="potts-grid",
        target="groundstate_mrf.potts_grid:PottsGrid",
        summary="learned label costs and couplings on a 4-neighbour grid (Ising with two labels)",
        gives=("FactorGraph",),
        examples="groundstate_mrf.examples:potts_grids",
    )
    yield Component(
        kind="loss",
        name="pseudo-likelihood",
        target="groundstate_mrf.pseudo_likelihood:PseudoLikelihood",
        summary="negative log probability of each variable given all others",
        source="Besag: Statistical Analysis of Non-Lattice Data (1975)",
        needs=("FactorGraph",),
        examples="groundstate_mrf.examples:pseudo_likelihoods",
    )
    yield Component(
        kind="learner",
        name="gradient",
        target="groundstate_mrf.gradient:GradientLearner",
        summary="descent on a loss with Adam or SGD, exact resume",
        examples="groundstate_mrf.examples:gradient_learners",
    )
