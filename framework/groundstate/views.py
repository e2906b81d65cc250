"""Views: the structure an energy declares, and solvers ask for.

A view is never guessed. An energy lists the views it gives (`Energy.views`), its component record
lists them too, so that matching works without importing, and `groundstate.view` hands one over or
explains. Anybody may add a view: it is a type and nothing more.
"""

from collections.abc import Callable
from dataclasses import dataclass

from jaxtyping import Float, Int, Shaped
from torch import Tensor


class MatrixView:
    """Marks the views that describe the matrix A of a quadratic energy and never its b.

    They stay true when the linear term changes, so the backward pass of an implicit gradient, which
    solves with the same A and another b, keeps them.
    """


@dataclass(frozen=True, kw_only=True)
class Quadratic:
    """E(x) = ½xᵀAx - bᵀx + c with a symmetric A.

    Attributes:
        matvec: x to Ax, for `[*sample, *batch, *event]`; written in torch, so differentiable.
        linear: b.
        constant: c.
        diagonal: the diagonal of A, broadcastable to b.
        floor: a certified lower bound on the smallest eigenvalue of A; None where unknown. With it
            a residual r bounds the minimum from below: min E ≥ E(x) - ‖r‖² / (2 floor).
    """

    matvec: Callable[[Tensor], Tensor]
    linear: Float[Tensor, "*batch_and_event"]
    constant: Float[Tensor, "*batch"]
    diagonal: Float[Tensor, "..."]
    floor: Float[Tensor, "..."] | None = None


@dataclass(frozen=True, kw_only=True)
class SparseMatrix(MatrixView):
    """The entries of A over the flattened event, each (row, column) at most once, both triangles.

    Attributes:
        indices: row and column of each entry.
        values: the entries.
    """

    indices: Int[Tensor, "2 entries"]
    values: Float[Tensor, "*batch entries"]


@dataclass(frozen=True, kw_only=True)
class Covariance:
    """A Gaussian known through C: x = Cb, without its inverse A.

    Attributes:
        matvec: b to Cb.
        linear: b.
    """

    matvec: Callable[[Tensor], Tensor]
    linear: Float[Tensor, "*batch_and_event"]


@dataclass(frozen=True, kw_only=True)
class Density:
    """A normalised density.

    Attributes:
        log_prob: `[*sample, *batch, *event]` to log p(x) in nats, `[*sample, *batch]`.
    """

    log_prob: Callable[[Tensor], Tensor]


@dataclass(frozen=True, kw_only=True)
class Score:
    """The gradient of the log density.

    Attributes:
        score: x to ∇ₓ log p(x), of the same shape.
    """

    score: Callable[[Tensor], Tensor]


@dataclass(frozen=True, kw_only=True)
class SetCritic:
    """A function of a whole set of configurations, such as a batch discriminator.

    What it gives depends on all rows together, so a batch is no loop over them.

    Attributes:
        criticise: `[*batch, rows, *event]` to one number per set `[*batch]` or per row.
        per_row: whether it gives one number per row.
    """

    criticise: Callable[[Shaped[Tensor, "..."]], Tensor]
    per_row: bool
