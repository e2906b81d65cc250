"""Small instances of every component, for the laws of the test kit."""

import tempfile
from functools import cache
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from groundstate.energy import Energy
from groundstate.examples import LearnerExample, LossExample, MetricExample, ModelExample
from groundstate.learning import Batch, Minibatches
from groundstate_labelling.camvid import CamvidDataset
from groundstate_labelling.couplings import smoothing_embeddings, smoothing_potts
from groundstate_labelling.cross_entropy import SoftmaxCrossEntropy
from groundstate_labelling.dense_labelling import DenseLabelling, Structure
from groundstate_labelling.mean_iou import MeanIou
from groundstate_labelling.pairwise_embedding import PairwiseEmbedding
from groundstate_labelling.three_phase import ThreePhase


def tiny(structure: Structure, *, form: str = "smoothing", labels: int = 3) -> DenseLabelling:
    """A network of a few thousand parameters whose pairwise terms are not 0."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = DenseLabelling(
            labels=labels,
            structure=structure,
            form="thesis" if form == "thesis" else "smoothing",
            width=4,
            channels=6,
            rank=4,
            connectivity=4,
        )
        if model.edges is not None:
            for layer in model.edges.out:
                torch.nn.init.normal_(next(layer.parameters()), std=0.2)
    return model.eval()


def scene(count: int, *, frames: int = 0, labels: int = 3, seed: int = 0) -> Batch:
    """Noisy images of bands of colour, one label per colour; some pixels without one."""
    rng = torch.Generator().manual_seed(seed)
    lead = (count, frames) if frames else (count,)
    bands = torch.arange(24).reshape(1, 24) * labels // 24
    truth = bands.expand(16, 24).expand(*lead, 16, 24).clone()
    colours = torch.linspace(0.1, 0.9, labels)[truth]
    noise = 0.2 * torch.randn(*lead, 3, 16, 24, generator=rng)
    truth[..., :2, :2] = 11
    return {"labels": truth, "image": (colours.unsqueeze(-3) + noise).clamp(0, 1)}


def models() -> list[ModelExample]:
    """Sparse Potts terms in either form; what other structures give differs from one to another."""
    return [
        # without a graph: the laws of energies read numbers off them
        ModelExample(model=tiny("sparse-potts", form=form).requires_grad_(False), batch=scene(2))
        for form in ("smoothing", "thesis")
    ]


class Direct(nn.Module):
    """Scores and couplings that are parameters themselves: smooth, unlike a rectified network."""

    def __init__(self, *lead: int, dense: bool = False) -> None:
        super().__init__()
        rng = torch.Generator().manual_seed(0)

        def parameter(*shape: int) -> nn.Parameter:
            return nn.Parameter(torch.rand(*lead, *shape, generator=rng))

        self.scores = parameter(3, 4, 6)
        self.pairwise = nn.ParameterList(
            [parameter(2, 4, 6)] if dense else [parameter(4, 5), parameter(3, 6)]
        )
        self.dense = dense

    def forward(self, batch: Batch, /) -> Energy:
        """The energy; it does not depend on the batch."""
        pairwise, scale = tuple(self.pairwise), self.scores.new_tensor(1.0)
        if self.dense:
            return smoothing_embeddings(scores=self.scores, embeddings=pairwise[0], diagonal=scale)
        return smoothing_potts(scores=self.scores, affinities=pairwise, diagonal=scale)


def cross_entropies() -> list[LossExample]:
    """Of single images and of a clip, with and without weights."""
    return [
        LossExample(loss=SoftmaxCrossEntropy(), model=Direct(2), batch=scene(2)),
        LossExample(
            loss=SoftmaxCrossEntropy(weights=(1.0, 2.0, 0.5), stride=2),
            model=Direct(2, dense=True),
            batch=scene(2),
        ),
        LossExample(loss=SoftmaxCrossEntropy(), model=Direct(1, 2), batch=scene(1, frames=2)),
    ]


def pairwise_embeddings() -> list[LossExample]:
    """Embeddings shared by labels, one per label, and of a clip."""
    return [
        LossExample(loss=PairwiseEmbedding(pairs=20), model=tiny("dense-potts"), batch=scene(2)),
        LossExample(
            loss=PairwiseEmbedding(pairs=20, classes="same"),
            model=tiny("dense-potts", form="thesis"),
            batch=scene(2),
        ),
        LossExample(loss=PairwiseEmbedding(pairs=20), model=tiny("dense"), batch=scene(2)),
        LossExample(
            loss=PairwiseEmbedding(pairs=20), model=tiny("video"), batch=scene(1, frames=3)
        ),
    ]


def learners() -> list[LearnerExample]:
    """All three phases within a few steps, with either objective of the second."""
    source = Minibatches(tensors=scene(6), size=2)
    return [
        LearnerExample(
            learner=ThreePhase(
                loss=SoftmaxCrossEntropy(), steps=(10, 2, 8), rates=(0.03, 0.01, 0.01), warmup=0
            ),
            model=tiny("sparse-potts"),
            source=source,
        ),
        LearnerExample(
            learner=ThreePhase(
                loss=SoftmaxCrossEntropy(),
                pairwise_loss="embedding",
                steps=(4, 1, 15),
                rates=(0.03, 0.01, 0.03),
                schedule="step",
                optimiser="sgd",
                warmup=0,
            ),
            model=tiny("dense-potts"),
            source=source,
        ),
    ]


def camvids() -> list[CamvidDataset]:
    """Single images and clips, from a folder of a few painted frames."""
    folder = Path(_painted().name)
    return [
        CamvidDataset(folder=folder, size=2),
        CamvidDataset(folder=folder, size=4, frames=2, apart=0.4, apart_from=3, together_from=5),
    ]


@cache
def _painted() -> tempfile.TemporaryDirectory[str]:
    """A folder with the layout of CamVid, which goes when the process ends."""
    held = tempfile.TemporaryDirectory(prefix="camvid-example-")
    for split in ("train", "val"):
        folder = Path(held.name) / split
        folder.mkdir()
        batch = scene(6, labels=11, seed=len(split))
        for k, (image, labels) in enumerate(zip(batch["image"], batch["labels"], strict=True)):
            name = f"{'0001TP' if k < 5 else '0016E5'}_{30 * k:05}"
            _write(folder / f"{name}.jpg", (image * 255).permute(1, 2, 0))
            _write(folder / f"{name}.label.png", labels)
    return held


def _write(path: Path, values: Tensor) -> None:
    Image.fromarray(values.to(torch.uint8).numpy().astype(np.uint8)).save(path)


def mean_ious() -> list[MetricExample]:
    """IoU by hand: class 0 has 2 of 3, class 1 has 1 of 2, class 2 does not occur."""
    return [
        MetricExample(
            metric=MeanIou(truth=torch.tensor([[0, 0, 0], [1, 11, 11]]), classes=3),
            x=torch.tensor([[0, 0, 1], [1, 0, 2]]),
            expected=torch.tensor((2 / 3 + 1 / 2) / 2, dtype=torch.float64),
        )
    ]
