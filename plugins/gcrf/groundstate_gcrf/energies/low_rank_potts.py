"""`energy/low-rank-potts-gcrf`: all pixels coupled by embeddings that know no label.

A = (J - I) ⊗ ψᵀψ + λI with one embedding of length D per pixel (Chandra, Usunier, Kokkinos 2017;
Gaussian CRF spec §7). The paper calls it positive definite for every λ > 0; its smallest eigenvalue
is λ - σ_max(ψ)², so it is if and only if λ > σ_max(ψ)². That is decided exactly here, from the
D × D matrix ψψᵀ.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, get_args

from annotated_types import Gt
from jaxtyping import Float
from torch import Tensor

from groundstate.energy import view
from groundstate.space import first
from groundstate.views import Quadratic, SparseMatrix
from groundstate_gcrf import skinny_kernel
from groundstate_gcrf.checks import check_choice
from groundstate_gcrf.energies import low_rank_kernel
from groundstate_gcrf.energies.guard import Guard, NotPositiveDefinite, shrinking
from groundstate_gcrf.energies.low_rank import (
    check_factor,
    event_of,
    largest_gram_eigenvalue,
)
from groundstate_gcrf.energies.matrix import GaussianCrf, as_scale, spread
from groundstate_gcrf.energies.potts import PottsMatrix
from groundstate_gcrf.structure import common_shape


@dataclass(frozen=True, kw_only=True)
class GramCoupling:
    """Ψ = ψᵀψ.

    Attributes:
        factor: ψ, `[*batch, rank, *pixels]`.
        pixel_shape: shape of the pixels.
    """

    factor: Float[Tensor, "..."]
    pixel_shape: tuple[int, ...]

    def __post_init__(self) -> None:
        check_factor(self.factor, self.pixel_shape, "embeddings")

    @property
    def batch_shape(self) -> tuple[int, ...]:
        return tuple(self.factor.shape[: self.factor.dim() - len(self.pixel_shape) - 1])

    @property
    def flat(self) -> Float[Tensor, "*batch rank pixels"]:
        """ψ over the flattened pixels."""
        return self.factor.flatten(-len(self.pixel_shape))

    def apply(self, v: Float[Tensor, "..."], /) -> Float[Tensor, "..."]:
        factor = self.flat
        flat = v.flatten(-len(self.pixel_shape))
        if flat.shape[-2] == 1 and low_rank_kernel.serves(factor, flat[..., 0, :]):
            # a matrix and a vector: bound by memory, and the kernel reads ψ once
            one = low_rank_kernel.gram(factor, flat[..., 0, :])
            return one.reshape(*self._lead(flat), *self.pixel_shape)
        short = skinny_kernel.inner_products(flat, factor)
        product = skinny_kernel.combine(short, factor, factor.new_zeros(()), flat)
        return product.reshape(*self._lead(flat), *self.pixel_shape)

    def product_with_others(
        self, x: Float[Tensor, "..."], scale: Float[Tensor, "..."], /
    ) -> Float[Tensor, "..."]:
        """Two matrix products for all labels: the sum is taken of the short vectors ψx_k."""
        factor = self.flat
        flat = x.flatten(-len(self.pixel_shape))
        short = skinny_kernel.inner_products(flat, factor)
        others = short.sum(-2, keepdim=True) - short
        product = skinny_kernel.combine(others, factor, scale, flat)
        return product.reshape(*product.shape[:-1], *self.pixel_shape)

    def _lead(self, flat: Tensor) -> tuple[int, ...]:
        return (*common_shape(flat.shape[:-2], self.batch_shape), flat.shape[-2])

    def spectrum(
        self, lowest: Float[Tensor, "..."], highest: Float[Tensor, "..."], /
    ) -> tuple[Float[Tensor, "..."], Float[Tensor, "..."]]:
        largest = largest_gram_eigenvalue(self.flat)
        return largest.new_zeros(()), largest

    @property
    def sparse(self) -> Callable[[], SparseMatrix] | None:
        return None


def low_rank_potts_gcrf(
    *,
    unary: Float[Tensor, "..."],
    embeddings: Float[Tensor, "..."],
    diagonal: Annotated[float, Gt(0)] | Tensor = 1.0,
    guard: Guard = "check",
) -> GaussianCrf:
    """Scores of labels, all pixels coupled by embeddings shared by all pairs of unequal labels.

    Args:
        unary: b, `[*batch, labels, height, width]`.
        embeddings: ψ, `[*batch, rank, height, width]`; positive inner products discourage
            different labels from being large together.
        diagonal: λ, broadcastable to the batch; must exceed σ_max(ψ)².
        guard: "check" refuses an energy for which it does not; "rescale" multiplies ψ by the
            largest number up to 1 for which σ_max(ψ)² ≤ 0.95 λ; "report" leaves it to the solver.
    """
    check_choice("guard", guard, get_args(Guard))
    event, scale = event_of(unary, 3), as_scale(diagonal, unary)
    coupling = GramCoupling(factor=embeddings, pixel_shape=event[1:])
    if guard == "rescale" and event[0] > 1:
        factor = shrinking(largest_gram_eigenvalue(coupling.flat), scale).sqrt()
        coupling = GramCoupling(
            factor=spread(factor, 1 + len(event[1:])) * embeddings, pixel_shape=event[1:]
        )
    matrix = PottsMatrix(coupling=coupling, labels=event[0], scale=scale)
    energy = GaussianCrf(matrix=matrix, linear=unary)
    if guard == "check" and view(energy, Quadratic).floor is None:
        _refuse(coupling, scale)
    return energy


def _refuse(coupling: GramCoupling, scale: Tensor) -> None:
    largest = largest_gram_eigenvalue(coupling.flat).detach()
    bad = scale - largest <= 0
    if not bool(bad.any()):
        return  # embeddings that are not finite: solvers say so of each problem
    where = first(bad)
    found, given = (float(each.expand(bad.shape)[where]) for each in (largest, scale))
    raise NotPositiveDefinite(
        f"the matrix must be positive definite: `diagonal` must exceed σ_max² = {found:.6g} of the "
        f"embeddings{f' of problem {where}' if where else ''}, got {given:.6g}; raise it, or let "
        '`guard = "rescale"` shrink the embeddings'
    )
