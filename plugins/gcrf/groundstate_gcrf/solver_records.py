"""Records of the solvers that stand beside conjugate gradients; imports nothing heavy."""

from collections.abc import Iterable

from groundstate import Component


def direct_solvers() -> Iterable[Component]:
    """Solvers whose first step finishes."""
    yield Component(
        kind="solver",
        name="cholesky",
        target="groundstate_gcrf.cholesky:Cholesky",
        summary="the dense matrix, factored once for all its right-hand sides",
        source="Golub, Van Loan: Matrix Computations, 4th edition (2013), section 4.2",
        needs=("Quadratic",),
        claims=("batched", "bound", "exact", "implicit-gradient", "residual"),
        examples="groundstate_gcrf.solver_examples:choleskys",
    )
