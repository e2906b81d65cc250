"""The lattice filter on torch tensors: linear in pixels, and differentiable.

The result is near Σ_{j≠i} exp(-‖f_i - f_j‖²/2) v_j, and differs in two ways: the kernel is that of
the lattice, piecewise polynomial, of bounded support and not quite the same everywhere; and what
would pass through vertices without points next to them is lost.

Adams et al. and the code of Krähenbühl, Koltun scale so that a point on a vertex counts itself as
1, and a kernel in 5 dimensions falls short by a third; here the scale keeps the integral
(2π)^(d/2). What a point gets of its own value is found exactly and taken away, so the diagonal is
0. The matrix is exactly symmetric, so it is its own transpose in the backward pass.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal, cast

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from groundstate_dense_crf import lattice_kernel

Array = NDArray[Any]
_build = cast(Callable[..., tuple[Array, ...]], lattice_kernel.build)
_own_shares = cast(Callable[..., Array], lattice_kernel.own_shares)
_filter_values = cast(Callable[..., Array], lattice_kernel.filter_values)


@dataclass(frozen=True, kw_only=True)
class Lattice:
    """The permutohedral lattice over the points of one problem, in NumPy arrays.

    Attributes:
        corners: vertices of each point's simplex, `[points, d + 1]`.
        weights: of the point on each of them, the scale of the filter included.
        neighbours: of each vertex in each direction, `[d + 1, vertices, 2]`.
        own: what each point would get of its own value, `[points]`.
    """

    corners: Array
    weights: Array
    neighbours: Array
    own: Array

    def apply(self, values: Array) -> Array:
        """Filter `[points, channels]`; a point's own value is left out."""
        weights, own = self._single if values.dtype == np.float32 else (self.weights, self.own)
        contiguous = np.ascontiguousarray(values)
        return _filter_values(contiguous, self.corners, weights, self.neighbours, own)

    @cached_property
    def _single(self) -> tuple[Array, Array]:
        return self.weights.astype(np.float32), self.own.astype(np.float32)

    def normalised(self) -> "Lattice":
        """With rows and columns divided by the roots of the row sums, the diagonal included."""
        sums = self.apply(np.ones((len(self.own), 1)))[:, 0] + self.own
        return replace(self, weights=self.weights / np.sqrt(sums)[:, None], own=self.own / sums)


def build_lattice(points: Float[Tensor, "points d"]) -> Lattice:
    """The lattice for kernels exp(-‖f_i - f_j‖²/2) over points in d dimensions; in float64."""
    array = points.detach().cpu().double().contiguous().numpy()
    d = array.shape[-1]
    # one standard deviation is √(2/3) (d + 1) lattice units: splat, blur and slice together have
    # unit variance then (Adams et al., section 3)
    unit = math.sqrt(2 / 3) * (d + 1)
    spread = np.array([unit / math.sqrt(axis * (axis + 1)) for axis in range(1, d + 1)])
    corners, weights, neighbours, ranks = _build(array, spread)
    # the integral of the Gaussian, over that of the blur's 2^(d+1) on cells of this volume
    volume = 1.5 ** (d / 2) / math.sqrt(d + 1)
    scale = (2 * math.pi) ** (d / 2) / (2 ** (d + 1) * volume)
    return Lattice(
        corners=corners,
        weights=math.sqrt(scale) * weights,
        neighbours=neighbours,
        own=scale * _own_shares(corners, weights, neighbours, ranks),
    )


@dataclass(frozen=True, kw_only=True)
class LatticeFilter:
    """The Gaussian kernel of features by their lattice, without its diagonal.

    Values on another device are filtered on the CPU and sent back.

    Attributes:
        features: `[*batch, pixels, d]`, in standard deviations of the kernel.
        lattices: one for each problem, in the order of the flattened batch.
    """

    features: Float[Tensor, "*batch pixels d"]
    lattices: tuple[Lattice, ...]

    @property
    def pixels(self) -> int:
        return self.features.shape[-2]

    @property
    def how(self) -> Literal["exact", "lattice"]:
        return "lattice"

    @property
    def learned(self) -> bool:
        return self.features.requires_grad

    @property
    def own(self) -> Float[Tensor, "*batch pixels"]:
        values = np.stack([lattice.own for lattice in self.lattices])
        return torch.from_numpy(values).to(self.features).reshape(self.features.shape[:-1])

    def apply(self, values: Float[Tensor, "*lead pixels c"]) -> Float[Tensor, "*lead pixels c"]:
        if values.dim() < self.features.dim():
            values = values.expand(*self.features.shape[:-2], *values.shape[-2:])
        return _filtered(values, self.features, self.lattices)


def lattice_filter(
    features: Float[Tensor, "*batch pixels d"], *, normalised: bool = False
) -> LatticeFilter:
    """Build the lattice of each problem in the batch.

    Args:
        features: the points.
        normalised: whether to divide by the roots of the row sums, once and for all: no gradient
            reaches the features through these.
    """
    built = [build_lattice(each) for each in features.reshape(-1, *features.shape[-2:])]
    lattices = tuple(each.normalised() if normalised else each for each in built)
    return LatticeFilter(features=features, lattices=lattices)


def _filtered(values: Tensor, features: Tensor, lattices: tuple[Lattice, ...]) -> Tensor:
    tracked = values.requires_grad or features.requires_grad
    if torch.is_grad_enabled() and tracked:
        return cast(Tensor, cast(Any, _Filtered).apply(values, features, lattices))
    return _run(values, features.dim() - 2, lattices)


def _run(values: Tensor, batch: int, lattices: tuple[Lattice, ...]) -> Tensor:
    """Each problem's values through its lattice; samples are further channels."""
    *lead, pixels, channels = values.shape
    samples = math.prod(lead[: len(lead) - batch])
    problems = values.detach().reshape(samples, len(lattices), pixels, channels)
    # [problem, pixel, sample, channel]
    columns = problems.permute(1, 2, 0, 3).reshape(len(lattices), pixels, samples * channels)
    arrays = columns.cpu().numpy()
    pairs = zip(lattices, arrays, strict=True)
    mixed = [torch.from_numpy(each.apply(own)) for each, own in pairs]
    # one problem is not copied
    result = (torch.stack(mixed) if len(mixed) > 1 else mixed[0]).to(values.device)
    result = result.reshape(len(lattices), pixels, samples, channels).permute(2, 0, 1, 3)
    return result.reshape(values.shape)


class _Filtered(torch.autograd.Function):
    """Gradients in the values are exact; those in the features are the kernel's, filtered alike.

    ∂/∂f_i Σ_ij g_i k_ij v_j = Σ_j (g_i v_j + v_i g_j) k_ij (f_j - f_i), which takes filters of
    values times features (Krähenbühl, Koltun: Parameter Learning and Convergent Inference in Dense
    Random Fields (2013)).
    """

    @staticmethod
    def forward(ctx: Any, values: Tensor, features: Tensor, lattices: Any) -> Tensor:
        ctx.save_for_backward(values, features)
        ctx.lattices = lattices
        return _run(values, features.dim() - 2, lattices)

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        values, features = ctx.saved_tensors
        (slope,) = slopes
        back = _filtered(slope, features, ctx.lattices)
        if not ctx.needs_input_grad[1]:
            return back, None, None
        there = _filtered(values, features, ctx.lattices)
        columns: list[Tensor] = []
        for axis in features.unbind(-1):
            place = axis.unsqueeze(-1)
            pull = slope * (_filtered(place * values, features, ctx.lattices) - place * there)
            pull = pull + values * (_filtered(place * slope, features, ctx.lattices) - place * back)
            total = pull.sum(-1)
            columns.append(total.reshape(-1, *axis.shape).sum(0))
        return back, torch.stack(columns, -1), None
