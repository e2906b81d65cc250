"""Gradient descent for groundstate."""

from collections.abc import Iterable

from groundstate import Component, hookimpl


@hookimpl
def groundstate_components() -> Iterable[Component]:
    return [
        Component(
            kind="solver",
            name="descent",
            target="groundstate_descent.descent:ExactDescent",
            summary="gradient descent with exact line search",
            source="Cauchy (1847)",
            needs=("Quadratic",),
            claims=("batched", "monotone", "residual"),
            examples="groundstate_descent.descent:examples",
        )
    ]
