"""An energy that shows the embeddings it couples with, so that a loss can teach them."""

from dataclasses import dataclass

from jaxtyping import Float, Shaped
from torch import Tensor

from groundstate.energy import Energy, Views
from groundstate.space import Space


@dataclass(frozen=True, kw_only=True)
class Embeddings:
    """View: inner products of these are the pairwise terms of an energy over labels.

    Attributes:
        labels: how many there are.
        spatial: within an image, `[*batch, rank, height, width]` where all labels share them, else
            `[*batch, rank, labels, height, width]`.
        temporal: between frames, the last of the batch dimensions; None for single images.
    """

    labels: int
    spatial: Float[Tensor, "..."]
    temporal: Float[Tensor, "..."] | None = None


@dataclass(frozen=True, kw_only=True)
class Embedded:
    """An energy as it is, with the view `Embeddings` added.

    Attributes:
        energy: any.
        embeddings: what it couples with.
    """

    energy: Energy
    embeddings: Embeddings

    @property
    def space(self) -> Space:
        return self.energy.space

    @property
    def views(self) -> Views:
        return {**self.energy.views, Embeddings: lambda: self.embeddings}

    def __call__(self, x: Shaped[Tensor, "..."], /) -> Float[Tensor, "..."]:
        return self.energy(x)
