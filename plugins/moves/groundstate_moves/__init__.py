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
