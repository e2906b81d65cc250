"""`model/dense-labelling`: a convolutional network that makes a Gaussian CRF of an image or a clip.

Chandra, Usunier and Kokkinos 2017, 2018; Gaussian CRF spec §9. The unary stream gives scores s, and
the energy's minimiser begins as x = s. Everything is at a quarter of the image's resolution.

Deviation: by default ("smoothing") the Potts terms are those of `couplings`, which average scores
without making them larger; `form = "thesis"` takes the registered energies as they are, with b = λs
and the guard "rescale".
"""

from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from annotated_types import Ge, Gt
from jaxtyping import Float
from torch import Tensor, nn

import groundstate as gs
from groundstate.energy import Energy
from groundstate.learning import Batch
from groundstate_gcrf.energies.label_grid import Connectivity
from groundstate_gcrf.energies.low_rank import low_rank_gcrf
from groundstate_gcrf.energies.low_rank_potts import low_rank_potts_gcrf
from groundstate_gcrf.energies.sparse import grid_gcrf_general, grid_gcrf_potts
from groundstate_gcrf.energies.video import video_gcrf
from groundstate_labelling.backbone import Backbone
from groundstate_labelling.couplings import smoothing_embeddings, smoothing_potts
from groundstate_labelling.cross_entropy import minimiser
from groundstate_labelling.embedded import Embedded, Embeddings
from groundstate_labelling.heads import EdgeHead, EmbeddingHead, RegionHead, colour_at
from groundstate_labelling.shapes import unflatten

Structure = Literal[
    "unary",
    "sparse-potts",
    "sparse-general",
    "dense",
    "dense-potts",
    "dense-potts-sparse-potts",
    "video",
    "video-potts-sparse-potts",
]
"""What couples the scores; the video structures take clips, all others single images."""


@dataclass(frozen=True, kw_only=True)
class Streams:
    """What the unary stream says of some images; the frames of clips are images one by one.

    Attributes:
        scores: of labels, `[images, labels, height, width]`.
        features: of the backbone.
        colour: mean colour of each patch.
        lead: batch dimensions of the images: batch, or batch and frames.
    """

    scores: Float[Tensor, "images labels height width"]
    features: Float[Tensor, "images channels height width"]
    colour: Float[Tensor, "images 3 height width"]
    lead: tuple[int, ...]

    def unflat(self, x: Float[Tensor, "images ..."]) -> Float[Tensor, "..."]:
        """With the batch dimensions that the images came with."""
        return unflatten(x, 0, self.lead)


class DenseLabelling(nn.Module):
    """Scores of labels from a small network, coupled by a Gaussian CRF.

    The batch's `image` is `[batch, 3, height, width]`, sRGB in [0, 1], or for the video structures
    `[batch, frames, 3, height, width]`; scores are `[*batch, labels, height / 4, width / 4]`.

    Attributes:
        labels: how many there are.
        structure: what couples the scores.
        backbone: image to features.
        unary: features to scores.
        edges: features to pairwise terms of neighbours; None without sparse terms.
        spatial: the embeddings within a frame; None without dense terms.
        temporal: the embeddings that couple frames; None for single images.
        log_scale: log λ.
    """

    mean: Tensor

    def __init__(
        self,
        *,
        labels: Annotated[int, Ge(2)] = 11,
        structure: Structure = "sparse-potts",
        form: Literal["smoothing", "thesis"] = "smoothing",
        width: Annotated[int, Ge(2)] = 32,
        channels: Annotated[int, Ge(1)] = 48,
        rank: Annotated[int, Ge(1)] = 32,
        connectivity: Connectivity = 8,
        diagonal: Annotated[float, Gt(0)] = 1.0,
    ) -> None:
        super().__init__()
        self.labels, self.structure, self.form = labels, structure, form
        self.register_buffer("mean", torch.tensor([0.41, 0.42, 0.43]).reshape(3, 1, 1))
        self.backbone = Backbone(width=width, channels=channels)
        self.unary = nn.Conv2d(channels, labels, 1)
        # λ alone changes nothing: x = s whatever it is
        self.log_scale = nn.Parameter(
            torch.tensor(diagonal).log(), requires_grad=structure != "unary"
        )
        self.edges: EdgeHead | None = None
        if "sparse" in structure:
            outputs = labels**2 if structure == "sparse-general" else 1
            self.edges = EdgeHead(features=channels, outputs=outputs, connectivity=connectivity)

        def head() -> EmbeddingHead | RegionHead:
            if "potts" in structure and form == "smoothing":
                return RegionHead(labels=labels, rank=rank)
            own = None if "potts" in structure else labels
            return EmbeddingHead(features=channels, rank=rank, labels=own)

        self.spatial = head() if "dense" in structure or "video" in structure else None
        self.temporal = head() if "video" in structure else None

    def forward(self, batch: Batch, /) -> Energy:
        """The energy of the scores, for each image or clip."""
        return self.energy(self.streams(batch))

    def unary_stream(self) -> tuple[nn.Module, nn.Module]:
        """The modules that make the unary scores."""
        return self.backbone, self.unary

    def uncoupled(self, batch: Batch, /) -> Energy:
        """The energy without pairwise terms, ½λ‖x - s‖² up to a constant."""
        streams = self.streams(batch)
        return _uncoupled(streams.unflat(streams.scores), self.log_scale.exp())

    def streams(self, batch: Batch) -> Streams:
        """The unary scores, and what the pairwise heads see."""
        image = batch["image"]
        lead, clips = tuple(image.shape[:-3]), "video" in self.structure
        if len(lead) != 1 + clips:
            shape = f"[batch, {'frames, ' if clips else ''}3, height, width]"
            raise ValueError(
                f"`image` must be {shape} for the structure {self.structure!r}, got the shape "
                f"{tuple(image.shape)}"
            )
        self._check(image)
        flat = ((image - self.mean) / 0.3).flatten(0, -4)
        features = self.backbone(flat)
        size = (features.shape[-2], features.shape[-1])
        return Streams(
            scores=self.unary(features),
            features=features,
            colour=colour_at(flat, size),
            lead=lead,
        )

    def _check(self, image: Tensor) -> None:
        if not image.is_floating_point():
            raise ValueError(
                f"`image` must hold numbers from 0 to 1, got {image.dtype}; divide bytes by 255"
            )
        least = 1 if self.edges is None else 4 * self.edges.reach + 1
        if min(image.shape[-2:]) < least:
            raise ValueError(
                f"`image` must have at least {least} rows and columns for the structure "
                f"{self.structure!r}, got {image.shape[-2]} × {image.shape[-1]}: scores are at a "
                "quarter of that, and sparse terms couple neighbours in all directions"
            )

    def energy(self, streams: Streams) -> Energy:
        """The energy that couples these scores; it gives `Embeddings` where it has dense terms."""
        scale = self.log_scale.exp()
        if self.structure == "unary":
            return _uncoupled(streams.unflat(streams.scores), scale)
        if self.spatial is None:
            return self._sparse(streams, streams.scores, scale)
        embeddings = Embeddings(
            labels=self.labels,
            spatial=streams.unflat(self._embed(self.spatial, streams)),
            temporal=None
            if self.temporal is None
            else streams.unflat(self._embed(self.temporal, streams)),
        )
        return Embedded(energy=self._embedded(streams, embeddings, scale), embeddings=embeddings)

    def _embedded(self, streams: Streams, embeddings: Embeddings, scale: Tensor) -> Energy:
        if self.structure == "video":
            assert embeddings.temporal is not None
            return video_gcrf(
                unary=scale * streams.unflat(streams.scores),
                spatial=embeddings.spatial,
                temporal=embeddings.temporal,
                diagonal=scale,
                guard="rescale",
            )
        if embeddings.temporal is None:
            dense = self._dense(streams.scores, embeddings.spatial, scale)
        else:
            dense = self._over_clips(streams, embeddings, scale)
        if self.edges is None:
            return dense
        # the cascade of the thesis: what the dense energy says is the sparse one's unary term
        scores = minimiser(dense)
        if embeddings.temporal is not None:
            clips = unflatten(scores, 2, (streams.lead[-1], -1))
            scores = clips.transpose(1, 2).flatten(0, 1)
        return self._sparse(streams, scores, scale)

    def _embed(self, head: EmbeddingHead | RegionHead, streams: Streams) -> Tensor:
        if isinstance(head, EmbeddingHead):
            return head(streams.features, streams.colour)
        shared = head is self.temporal
        return head(streams.scores, streams.colour, streams.lead[-1] if shared else 1)

    def _dense(self, scores: Tensor, embeddings: Tensor, scale: Tensor) -> Energy:
        if isinstance(self.spatial, RegionHead):
            return smoothing_embeddings(scores=scores, embeddings=embeddings, diagonal=scale)
        unary = scale * scores
        if embeddings.dim() == scores.dim():
            return low_rank_potts_gcrf(
                unary=unary, embeddings=embeddings, diagonal=scale, guard="rescale"
            )
        return low_rank_gcrf(unary=unary, embeddings=embeddings, diagonal=scale)

    def _sparse(self, streams: Streams, scores: Tensor, scale: Tensor) -> Energy:
        assert self.edges is not None
        labels = scores.shape[-3]
        unary = streams.unflat(scores)
        edges = [streams.unflat(each) for each in self.edges(streams.features, streams.colour)]
        if self.structure == "sparse-general":
            terms = [unflatten(each.movedim(-3, -1), -1, (labels, labels)) for each in edges]
            return grid_gcrf_general(
                unary=scale * unary, terms=terms, diagonal=scale, guard="rescale"
            )
        weights = tuple(each.squeeze(-3) for each in edges)
        if self.form == "smoothing":
            return smoothing_potts(scores=unary, affinities=weights, diagonal=scale)
        return grid_gcrf_potts(
            unary=scale * unary, weights=weights, diagonal=scale, guard="rescale"
        )

    def _over_clips(self, streams: Streams, embeddings: Embeddings, scale: Tensor) -> Energy:
        """One Potts system per clip, its frames one below the other."""
        assert embeddings.temporal is not None
        spatial, frames = embeddings.spatial, streams.lead[-1]
        # each frame's spatial embedding has coordinates of its own, the temporal ones are shared
        eye = torch.eye(frames, dtype=spatial.dtype, device=spatial.device)
        own = torch.einsum("bvdhw,uv->budvhw", spatial, eye).flatten(1, 2)
        joint = torch.cat([own, embeddings.temporal.transpose(1, 2)], dim=1).flatten(2, 3)
        scores = streams.unflat(streams.scores).transpose(1, 2).flatten(2, 3)
        return self._dense(scores, joint, scale)


def _uncoupled(scores: Float[Tensor, "..."], scale: Float[Tensor, ""]) -> Energy:
    event, batch = tuple(scores.shape[-3:]), tuple(scores.shape[:-3])
    quadratic = gs.Quadratic(
        matvec=lambda x: scale * x,
        linear=scale * scores,
        constant=scores.new_zeros(batch),
        diagonal=scale.expand(event),
        floor=scale.detach().expand(batch),
    )
    space = gs.Real(event_shape=event, batch_shape=batch, dtype=scores.dtype, device=scores.device)
    return gs.QuadraticEnergy(quadratic=quadratic, space=space)
