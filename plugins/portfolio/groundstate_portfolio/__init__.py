"""Solvers made of solvers, for groundstate: a portfolio, and a cache of solved problems."""

from collections.abc import Iterable

from groundstate import Component, hookimpl


@hookimpl
def groundstate_components() -> Iterable[Component]:
    """What this plugin offers."""
    yield Component(
        kind="solver",
        name="auto-discrete",
        target="groundstate_portfolio.auto_discrete:AutoDiscrete",
        summary="reads the structure, picks among all registered solvers, improves until time ends",
        needs=("FactorGraph",),
        claims=("bound", "monotone", "anytime", "higher-order-moves"),
        examples="groundstate_portfolio.examples:auto_discretes",
    )
    yield Component(
        kind="solver",
        name="cached",
        target="groundstate_portfolio.cached:Cached",
        summary="reuses solutions of earlier problems where a test proves them optimal",
        source="Srikumar, Kundu, Roth: On Amortizing Inference Cost (2012), Theorem 1",
        needs=("FactorGraph",),
        claims=("bound", "batched"),
        examples="groundstate_portfolio.examples:cacheds",
    )
