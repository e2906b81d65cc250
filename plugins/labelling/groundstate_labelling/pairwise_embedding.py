"""`loss/pairwise-embedding`: embeddings are taught by pairs of pixels, before any solve.

Gaussian CRF spec §6.5 and §8.10: for two pixels with labels l and m the pairwise term E(l, m) is to
be lower than that of all other pairs of labels: cross-entropy over L² classes with logits -E. The
thesis says neither how many pairs there are nor how the softmax is arranged; both are settings.
"""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

import torch
from annotated_types import Ge
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import cross_entropy, softplus

from groundstate.energy import view
from groundstate.learning import Batch, Needs
from groundstate_labelling.embedded import Embeddings
from groundstate_labelling.known import labelled


@dataclass(frozen=True, kw_only=True)
class PairwiseEmbedding:
    """How far the pairwise term of the true labels is from being the lowest, in nats per pair.

    Attributes:
        pairs: of labelled pixels drawn for each image (or pair of frames).
        ignore: the label of pixels that are not drawn; no class.
        classes: for embeddings shared by all labels, E is 0 for equal labels and ψ_p·ψ_q for
            others: "pairs" takes the softmax over all L² of them, "same" only asks whether the
            labels are the same.
    """

    pairs: Annotated[int, Ge(1)] = 512
    ignore: int = 11
    classes: Literal["pairs", "same"] = "pairs"

    @property
    def needs(self) -> Needs:
        return Needs(views=(Embeddings,), keys=("labels",))

    def __call__(
        self, model: Any, batch: Batch, rng: torch.Generator, /
    ) -> dict[str, Float[Tensor, ""]]:
        labels = batch["labels"]
        found = view(model(batch), Embeddings)
        named = {"spatial": found.spatial, "temporal": found.temporal}
        return {
            f"{name}-embedding": self._of(embeddings, labels, found.labels, name, rng)
            for name, embeddings in named.items()
            if embeddings is not None
        }

    def _of(
        self, embeddings: Tensor, labels: Tensor, count: int, name: str, rng: torch.Generator
    ) -> Float[Tensor, ""]:
        shared = embeddings.dim() == labels.dim() + 1
        size = (embeddings.shape[-2], embeddings.shape[-1])
        truth = at_patches(labels, size).flatten(-2)
        labelled(truth, count, self.ignore)
        flat = embeddings.flatten(-2)
        if not shared:
            flat = flat.movedim(-2, -3)  # [*batch, labels, rank, pixels]
        first, second = frame_pairs(truth, flat, temporal=name == "temporal")
        losses = [
            self._of_two(here, there, count, shared, rng)
            for here, there in zip(zip(*first, strict=True), zip(*second, strict=True), strict=True)
        ]
        if not losses:
            raise ValueError("temporal embeddings need clips of at least 2 frames, got 1")
        return torch.stack(losses).mean()

    def _of_two(
        self,
        first: tuple[Tensor, Tensor],
        second: tuple[Tensor, Tensor],
        count: int,
        shared: bool,
        rng: torch.Generator,
    ) -> Float[Tensor, ""]:
        """Random pairs of a pixel of one frame and a pixel of another, or of the same."""
        (left, here), (right, there) = first, second
        p, q = (draw(each != self.ignore, self.pairs, rng) for each in (here, there))
        if p is None or q is None:
            return 0 * left.sum()
        wanted = here[p].long(), there[q].long()
        if shared:
            product = (left[..., p] * right[..., q]).sum(0)
            return self._potts(product, wanted, count)
        energies = torch.einsum("ldk,mdk->klm", left[..., p], right[..., q])
        return cross_entropy(-energies.flatten(1), wanted[0] * count + wanted[1])

    def _potts(
        self, product: Float[Tensor, " pairs"], wanted: tuple[Tensor, Tensor], count: int
    ) -> Float[Tensor, ""]:
        """E(l, m) is 0 where l = m, and else the product, so the softmax is of two numbers."""
        same = wanted[0] == wanted[1]
        if self.classes == "same":
            return softplus(torch.where(same, -product, product)).mean()
        others = count * (count - 1)
        number = product.new_tensor
        total = torch.logaddexp(number(count).log(), number(others).log() - product)
        return (total + torch.where(same, 0.0, product)).mean()


Frames = tuple[Float[Tensor, "count ..."], Int[Tensor, "count pixels"]]
"""Embeddings and true labels of some frames."""


def frame_pairs(
    truth: Int[Tensor, "*batch pixels"], embeddings: Float[Tensor, "..."], *, temporal: bool
) -> tuple[Frames, Frames]:
    """Every image with itself, or every frame of a clip with each later frame."""
    lead = truth.dim() - 1
    if not temporal:
        images = embeddings.flatten(0, lead - 1), truth.flatten(0, lead - 1)
        return images, images
    frames = truth.shape[-2]
    clips, labels = embeddings.flatten(0, lead - 2), truth.flatten(0, lead - 2)

    def chosen(index: Tensor) -> Frames:
        return clips[:, index].flatten(0, 1), labels[:, index].flatten(0, 1)

    first, second = torch.triu_indices(frames, frames, offset=1)
    return chosen(first), chosen(second)


def draw(known: Tensor, count: int, rng: torch.Generator) -> Int[Tensor, " count"] | None:
    """Places drawn with replacement from those that are known; None if there are none."""
    places = known.nonzero()[:, 0]
    if not len(places):
        return None
    chosen = torch.randint(len(places), (count,), generator=rng)
    return places[chosen.to(places.device)]


def at_patches(labels: Tensor, size: tuple[int, int]) -> Int[Tensor, "*batch height width"]:
    """The label at the centre of each patch."""
    rows, columns = (
        ((torch.arange(short, device=labels.device) + 0.5) * (long / short)).long()
        for short, long in zip(size, labels.shape[-2:], strict=True)
    )
    return labels[..., rows[:, None], columns]
