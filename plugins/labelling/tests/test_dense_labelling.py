"""The network, its heads, and gradients that pass through the solve."""

import pytest
import torch
from torch import Tensor

import groundstate as gs
from groundstate.testing.typed import linear_solve
from groundstate.views import Quadratic
from groundstate_labelling.cross_entropy import SoftmaxCrossEntropy, enlarge, minimiser
from groundstate_labelling.dense_labelling import DenseLabelling, Structure
from groundstate_labelling.examples import scene, tiny
from groundstate_labelling.heads import EdgeHead, EmbeddingHead, RegionHead

SINGLE: list[Structure] = [
    "unary",
    "sparse-potts",
    "sparse-general",
    "dense",
    "dense-potts",
    "dense-potts-sparse-potts",
]
CLIPS: list[Structure] = ["video", "video-potts-sparse-potts"]
FEATURES = torch.randn(2, 6, 5, 7, generator=torch.Generator().manual_seed(0))
COLOUR = torch.randn(2, 3, 5, 7, generator=torch.Generator().manual_seed(1))


def test_edges_have_one_vector_per_pair_of_neighbours_and_begin_at_zero() -> None:
    head = EdgeHead(features=6, outputs=9, connectivity=12)
    edges = head(FEATURES, COLOUR)
    shapes = [(5, 6), (4, 7), (4, 6), (4, 6), (5, 5), (3, 7)]
    assert [tuple(each.shape) for each in edges] == [(2, 9, *shape) for shape in shapes]
    assert not any(bool(each.any()) for each in edges)


def test_edges_do_not_depend_on_which_pixel_comes_first() -> None:
    head = EdgeHead(features=6, outputs=1, connectivity=4).eval()
    for layer in head.out:
        torch.nn.init.normal_(next(layer.parameters()))
    right = head(FEATURES, COLOUR)[0]
    # the 3 × 3 convolution before must be mirrored, too
    conv = next(head.reduce.parameters())
    conv.data = conv.data.flip(-1)
    mirrored = head(FEATURES.flip(-1), COLOUR.flip(-1))[0]
    torch.testing.assert_close(mirrored, right.flip(-1))


def test_embeddings_have_their_shapes() -> None:
    assert EmbeddingHead(features=6, rank=4)(FEATURES, COLOUR).shape == (2, 4, 5, 7)
    per_label = EmbeddingHead(features=6, rank=4, labels=3)(FEATURES, COLOUR)
    assert per_label.shape == (2, 4, 3, 5, 7)
    regions = RegionHead(labels=6, rank=4)(FEATURES, COLOUR)
    assert regions.shape == (2, 4, 5, 7) and bool((regions >= 0).all())


def test_frames_share_the_size_of_their_regions() -> None:
    head = RegionHead(labels=6, rank=4)
    apart, together = head(FEATURES, COLOUR), head(FEATURES, COLOUR, frames=2)
    assert together.shape == apart.shape and bool((together < apart).all())


@pytest.mark.parametrize("structure", [*SINGLE, *CLIPS])
def test_scores_have_the_shape_of_the_batch(structure: Structure) -> None:
    clips = structure in CLIPS
    model = tiny(structure)
    scores = minimiser(model(scene(2, frames=3 if clips else 0)))
    assert scores.shape == ((2, 3, 3, 4, 6) if clips else (2, 3, 4, 6))


@pytest.mark.parametrize("structure", ["sparse-potts", "sparse-general"])
def test_training_starts_from_the_unary_scores(structure: Structure) -> None:
    model = DenseLabelling(labels=3, structure=structure, width=4, channels=6).eval()
    batch = scene(2)
    with torch.no_grad():
        chances = model.streams(batch).scores.softmax(1)
        for energy in (model(batch), model.uncoupled(batch)):
            found = minimiser(energy).softmax(1)
            torch.testing.assert_close(found, chances, rtol=1e-3, atol=1e-3)


def test_a_clip_is_not_an_image() -> None:
    with pytest.raises(ValueError, match=r"\[batch, frames, 3, height, width\]"):
        tiny("video")(scene(2))
    with pytest.raises(ValueError, match="for the structure 'sparse-potts'"):
        tiny("sparse-potts")(scene(2, frames=2))


@pytest.mark.parametrize("structure", [*SINGLE[1:], *CLIPS])
def test_the_gradient_passes_through_the_solve(structure: Structure) -> None:
    """End to end, of all parameters of a tiny network at once, against finite differences."""
    model = tiny(structure).double()
    batch = scene(1, frames=2 if structure in CLIPS else 0)
    batch = {"image": batch["image"].double(), "labels": batch["labels"]}
    loss, rng = SoftmaxCrossEntropy(), torch.Generator()
    parameters = [each for each in model.parameters() if each.requires_grad]
    along = [
        torch.randn(each.shape, generator=rng.manual_seed(k), dtype=each.dtype)
        for k, each in enumerate(parameters)
    ]

    def value(step: float) -> Tensor:
        with torch.no_grad():
            for each, direction in zip(parameters, along, strict=True):
                each += step * direction
        found = loss(model, batch, rng)["cross-entropy"]
        with torch.no_grad():
            for each, direction in zip(parameters, along, strict=True):
                each -= step * direction
        return found

    gradients = torch.autograd.grad(loss(model, batch, rng)["cross-entropy"], parameters)
    slope = sum(float((g * a).sum()) for g, a in zip(gradients, along, strict=True))
    step = 1e-6
    found = float((value(step) - value(-step)).detach()) / (2 * step)
    assert slope == pytest.approx(found, rel=1e-3, abs=1e-6)


def test_the_loss_is_the_cross_entropy_of_a_dense_solve() -> None:
    model, batch = tiny("sparse-potts").double(), scene(2)
    batch = {"image": batch["image"].double(), "labels": batch["labels"]}
    with torch.no_grad():
        energy = model(batch)
        quadratic = gs.view(energy, Quadratic)
        n = 3 * 4 * 6
        eye = torch.eye(n, dtype=torch.float64).reshape(n, 1, 3, 4, 6).expand(n, 2, 3, 4, 6)
        matrix = quadratic.matvec(eye).flatten(2).transpose(0, 1)
        exact = linear_solve(matrix, quadratic.linear.flatten(1)).reshape(2, 3, 4, 6)
        chances = enlarge(exact, (16, 24)).log_softmax(1).movedim(1, -1)
        known = batch["labels"] != 11
        expected = -chances[known].gather(1, batch["labels"][known][:, None]).mean()
        found = SoftmaxCrossEntropy()(model, batch, torch.Generator())["cross-entropy"]
    torch.testing.assert_close(found, expected)


def test_pixels_without_a_label_do_not_count() -> None:
    model, batch = tiny("sparse-potts"), scene(2)
    loss, rng = SoftmaxCrossEntropy(), torch.Generator()
    nothing = {**batch, "labels": torch.full_like(batch["labels"], 11)}
    assert float(loss(model, nothing, rng)["cross-entropy"].detach()) == 0
    some = batch["labels"].clone()
    some[0] = 11
    alone = {name: each[1:] for name, each in batch.items()}
    torch.testing.assert_close(
        loss(model, {**batch, "labels": some}, rng), loss(model, alone, rng), rtol=1e-4, atol=1e-5
    )
