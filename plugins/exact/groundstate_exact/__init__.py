"""Exact solvers of discrete factor graphs, and their linear and integer programs."""

from collections.abc import Iterable

from groundstate import Component, hookimpl


@hookimpl
def groundstate_components() -> Iterable[Component]:
    """What this plugin offers."""
    yield Component(
        kind="solver",
        name="junction-tree",
        target="groundstate_exact.junction_tree:JunctionTree",
        summary="exact minimum, marginals and log Z of any factor graph of small treewidth",
        source="Koller, Friedman: Probabilistic Graphical Models (2009), §9.3, §10.4",
        needs=("FactorGraph",),
        claims=(
            "exact",
            "bound",
            "beliefs",
            "exact-beliefs",
            "anytime",
            "batched",
        ),
        examples="groundstate_exact.examples:junction_trees",
    )
    yield Component(
        kind="solver",
        name="tree-dp",
        target="groundstate_exact.tree_dp:TreeDP",
        summary="exact minimum, marginals and log Z on factor graphs without cycles, linear time",
        source="Koller, Friedman: Probabilistic Graphical Models (2009), §10.2, §13.3",
        needs=("FactorGraph",),
        claims=(
            "exact-on-trees",
            "exact-beliefs-on-trees",
            "bound",
            "beliefs",
        ),
        examples="groundstate_exact.examples:tree_dps",
    )
    yield from _programs()


def _programs() -> Iterable[Component]:
    yield Component(
        kind="solver",
        name="lp",
        target="groundstate_exact.lp:LP",
        summary="local-polytope relaxation by HiGHS: a certified bound, and rounding",
        source="Wainwright, Jordan: Graphical Models, Exponential Families, and Variational "
        "Inference (2008), §8.4",
        needs=("FactorGraph",),
        claims=(
            "exact-on-trees",
            "bound",
            "monotone",
            "anytime",
            "batched",
        ),
        examples="groundstate_exact.examples:lps",
    )
    yield Component(
        kind="solver",
        name="ilp",
        target="groundstate_exact.ilp:ILP",
        summary="integer program by HiGHS: the minimum, or a bound when time is over",
        source="Huangfu, Hall: Parallelizing the Dual Revised Simplex Method (2018)",
        needs=("FactorGraph",),
        claims=(
            "exact",
            "bound",
            "monotone",
            "anytime",
            "batched",
        ),
        examples="groundstate_exact.examples:ilps",
    )
    yield Component(
        kind="solver",
        name="toulbar2",
        target="groundstate_exact.toulbar2:Toulbar2",
        summary="branch and bound by toulbar2 in a process of its own: the minimum, or a bound",
        source="Hurley et al.: Multi-language evaluation of exact solvers in graphical model "
        "discrete optimization (2016)",
        needs=("FactorGraph",),
        claims=(
            "exact",
            "bound",
            "monotone",
            "batched",
        ),
        examples="groundstate_exact.examples:toulbar2s",
        extras=("groundstate-exact[toulbar2]: pytoulbar2",),
    )
