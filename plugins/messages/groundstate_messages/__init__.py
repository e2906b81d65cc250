"""Message passing on factor graphs for groundstate: bounds, marginals and log Z."""

from collections.abc import Iterable

from groundstate import Component, hookimpl


@hookimpl
def groundstate_components() -> Iterable[Component]:
    """What this plugin offers."""
    yield Component(
        kind="solver",
        name="trws",
        target="groundstate_messages.trws:TRWS",
        summary="sequential tree-reweighted messages: a lower bound that never falls, pairwise",
        source="Kolmogorov: Convergent Tree-Reweighted Message Passing for Energy Minimization "
        "(2006)",
        needs=("FactorGraph",),
        claims=("bound", "monotone", "anytime", "batched"),
        examples="groundstate_messages.examples:trws",
    )
