"""`energy/grid-gcrf`: a quadratic energy on a pixel grid, with some pixels pinned to values.

E(x) = ½ Σ_{i~j} w_ij (x_i - x_j)² + ½ λ Σ_i x_i² + ½ β Σ_i h_i (x_i - α_i)²

over the edges i~j of the 4-neighbour grid. Its minimiser solves Ax = b with A = L_w + λI + βH and
b = βHα (L_w the weighted Laplacian, H = diag(h)). A is positive definite if and only if every part
of the grid that positive weights connect has a pixel with λ > 0 or βh > 0; else it is refused.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, cast

import torch
from annotated_types import Ge, Gt
from jaxtyping import Bool, Float
from torch import Tensor

from groundstate.energy import Views
from groundstate.space import Real
from groundstate.views import Density, Quadratic, SparseMatrix
from groundstate_gcrf.checks import check_definite, check_shapes, check_signs, check_types
from groundstate_gcrf.contrast import contrast_weights
from groundstate_gcrf.density import gaussian_density
from groundstate_gcrf.kept import Kept
from groundstate_gcrf.structure import Factored, GridStencil, common_shape


@dataclass(frozen=True, kw_only=True)
class GridGcrf:
    """The energy, from weights given directly: all of them tensors, all of them may be learned.

    All batch dimensions broadcast; several `values` against one `pinned` are right-hand sides of
    one matrix. `grid_gcrf` makes one from an image.

    Attributes:
        right: weights of the edges from each pixel to the one on its right, at least 0:
            `[*batch, height, width - 1]`.
        down: weights of the edges from each pixel to the one below it: `[*batch, height - 1,
            width]`.
        pinned: h, at least 0, 1 where `values` holds and 0 where it does not: `[*batch, height,
            width]`.
        values: α, `[*batch, height, width]`; ignored where `pinned` is 0, so it may be NaN there.
        strength: β at least 0, broadcastable to `values`.
        diagonal: λ at least 0, broadcastable to `values`.

    Raises:
        TypeError: for tensors of different floating-point types.
        ValueError: for shapes that do not fit, negative or non-finite numbers, or a singular A.
    """

    right: Float[Tensor, "..."]
    down: Float[Tensor, "..."]
    pinned: Float[Tensor, "..."]
    values: Float[Tensor, "..."]
    strength: Float[Tensor, "..."]
    diagonal: Float[Tensor, "..."]

    def __post_init__(self) -> None:
        check_types(self._tensors)
        check_shapes(self._tensors)
        check_signs(self._tensors)
        check_definite(self._tensors)

    @property
    def _tensors(self) -> dict[str, Tensor]:
        return {
            "right": self.right,
            "down": self.down,
            "pinned": self.pinned,
            "values": self.values,
            "strength": self.strength,
            "diagonal": self.diagonal,
        }

    @property
    def space(self) -> Real:
        return self._space

    @cached_property
    def _space(self) -> Real:
        batches = (each.shape[:-2] for each in (self.right, self.down, self.pinned, self.values))
        return Real(
            event_shape=tuple(self.values.shape[-2:]),
            batch_shape=common_shape(*batches),
            dtype=self.values.dtype,
            device=self.values.device,
        )

    @property
    def views(self) -> Views:
        return {
            Quadratic: lambda: self.quadratic,
            Density: lambda: gaussian_density(self),
            GridStencil: lambda: self.stencil,
            SparseMatrix: self._sparse,
            Factored: lambda: Factored(noise=self._noise),
        }

    def __call__(self, x: Float[Tensor, "..."], /) -> Float[Tensor, "..."]:
        # squares, not ½xᵀAx - bᵀx + c: never negative, and nothing cancels
        terms = (
            self.right * (x[..., :, 1:] - x[..., :, :-1]).square(),
            self.down * (x[..., 1:, :] - x[..., :-1, :]).square(),
            self._pull * (x - self._targets).square(),
            self.diagonal * x.square(),
        )
        return 0.5 * cast(Tensor, sum(each.sum((-2, -1)) for each in terms))

    @property
    def quadratic(self) -> Quadratic:
        if self._learns:
            return self._make_quadratic()
        return self._kept_quadratic.get(tuple(self._tensors.values()), self._make_quadratic)

    @property
    def stencil(self) -> GridStencil:
        if self._learns:
            return self._make_stencil()
        return self._kept_stencil.get(tuple(self._tensors.values()), self._make_stencil)

    @property
    def _learns(self) -> bool:
        """Whether a parameter is learned: what is made from it has a graph, and is not kept."""
        return any(each.requires_grad for each in self._tensors.values())

    @cached_property
    def _kept_quadratic(self) -> Kept[Quadratic]:
        return Kept()

    @cached_property
    def _kept_stencil(self) -> Kept[GridStencil]:
        return Kept()

    @property
    def _pull(self) -> Float[Tensor, "*batch height width"]:
        """βh, how strongly each pixel is drawn to its target."""
        return self.strength * self.pinned

    @property
    def _targets(self) -> Float[Tensor, "*batch height width"]:
        """α where it counts, 0 elsewhere: values that were never given may be NaN."""
        return torch.where(self.pinned > 0, self.values, torch.zeros_like(self.values))

    def _make_stencil(self) -> GridStencil:
        diagonal = self._pull + self.diagonal
        shape = common_shape(
            diagonal.shape, (*self.right.shape[:-2], 1, 1), (*self.down.shape[:-2], 1, 1)
        )
        diagonal = diagonal.expand(shape).clone()
        for weights, axis in ((self.right, -1), (self.down, -2)):
            length = weights.shape[axis]
            diagonal.narrow(axis, 0, length).add_(weights)
            diagonal.narrow(axis, 1, length).add_(weights)
        return GridStencil(diagonal=diagonal, right=self.right, down=self.down)

    def _make_quadratic(self) -> Quadratic:
        stencil, shape = self.stencil, self.space.layout.shape
        pull, targets = self._pull, self._targets
        linear = (pull * targets).expand(shape)
        return Quadratic(
            matvec=stencil.matvec,
            linear=linear,
            constant=0.5 * (linear * targets).sum((-2, -1)),
            diagonal=stencil.diagonal,
            floor=self._floor(),
        )

    def _floor(self) -> Float[Tensor, "*batch"] | None:
        # xᵀAx ≥ Σ (λ + βh_i) x_i², for the Laplacian is positive semidefinite
        own = (self._pull + self.diagonal).detach().amin((-2, -1))
        return own.expand(self.space.batch_shape) if bool((own > 0).any()) else None

    def _sparse(self) -> SparseMatrix:
        diagonal = self.stencil.diagonal
        height, width = self.space.event_shape
        pixel = torch.arange(height * width, device=diagonal.device).reshape(height, width)
        across = torch.stack([pixel[:, :-1].flatten(), pixel[:, 1:].flatten()])
        along = torch.stack([pixel[:-1].flatten(), pixel[1:].flatten()])
        own = torch.stack([pixel.flatten(), pixel.flatten()])
        parts = (diagonal, -self.right, -self.right, -self.down, -self.down)
        batch = common_shape(*(part.shape[:-2] for part in parts))
        values = [part.flatten(-2).expand(*batch, -1) for part in parts]
        indices = torch.cat([own, across, across.flip(0), along, along.flip(0)], dim=-1)
        return SparseMatrix(indices=indices, values=torch.cat(values, dim=-1))

    def _noise(
        self, sample_shape: tuple[int, ...], rng: torch.Generator
    ) -> Float[Tensor, "*sample_and_batch height width"]:
        """Σ √w_ij ε_ij (e_i - e_j) + Σ √(λ + βh_i) ε_i e_i, whose covariance is A."""
        space = self.space

        def normal(*event: int) -> Tensor:
            shape = (*sample_shape, *space.batch_shape, *event)
            drawn = torch.randn(shape, generator=rng, device=rng.device, dtype=space.dtype)
            return drawn.to(space.device)

        height, width = space.event_shape
        noise = _root(self._pull + self.diagonal) * normal(height, width)
        for weights, axis in ((self.right, -1), (self.down, -2)):
            length = weights.shape[axis]
            edges = _root(weights) * normal(*weights.shape[-2:])
            noise.narrow(axis, 0, length).add_(edges)
            noise.narrow(axis, 1, length).sub_(edges)
        return noise


def grid_gcrf(
    *,
    image: Float[Tensor, "..."],
    pinned: Bool[Tensor, "..."] | Float[Tensor, "..."],
    values: Float[Tensor, "..."],
    smoothness: Annotated[float, Ge(0)] | Tensor = 1.0,
    contrast: Annotated[float, Gt(0)] | Tensor | None = None,
    weakest: Annotated[float, Ge(0)] = 1e-3,
    strength: Annotated[float, Ge(0)] | Tensor = 1.0,
    diagonal: Annotated[float, Ge(0)] | Tensor = 0.0,
) -> GridGcrf:
    """A field that follows `values` where `pinned` and is smooth except across edges of `image`.

    Args:
        image: guide, `[*batch, height, width, channels]`; neighbours that differ in it are coupled
            weakly.
        pinned: where `values` holds, `[*batch, height, width]`.
        values: what to follow there, `[*batch, height, width]`; elsewhere ignored, NaN included.
        smoothness: weight of an edge inside a flat region, nearly; per squared unit of `values`.
        contrast: σ, how large a difference is an edge, in units of `image`; None measures it.
        weakest: smallest weight, as a share of `smoothness`.
        strength: β, how strongly pinned pixels follow their values; per squared unit of `values`.
        diagonal: λ, draws every pixel to 0; above 0 the energy has a minimum without pins, too.
    """
    if image.dim() < 3:
        raise ValueError(
            f"image must be [*batch, height, width, channels], got the shape {tuple(image.shape)}; "
            "a gray image has 1 channel: `image[..., None]`"
        )
    right, down = contrast_weights(image, smoothness=smoothness, contrast=contrast, weakest=weakest)
    return GridGcrf(
        right=right,
        down=down,
        pinned=pinned.to(values.dtype),
        values=values,
        strength=torch.as_tensor(strength, dtype=values.dtype, device=values.device),
        diagonal=torch.as_tensor(diagonal, dtype=values.dtype, device=values.device),
    )


def _root(values: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """Square root with gradient 0, not infinity, at 0: an edge that is absent stays absent."""
    positive = values > 0
    return torch.where(positive, values, 1.0).sqrt() * positive
