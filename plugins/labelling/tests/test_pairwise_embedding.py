"""The pairwise-embedding loss against the softmax over all pairs of labels, written out."""

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn

import groundstate as gs
from groundstate.testing.typed import ints
from groundstate_labelling.embedded import Embedded, Embeddings
from groundstate_labelling.pairwise_embedding import PairwiseEmbedding, at_patches, draw

L, D, H, W = 3, 2, 2, 3


SPACE = gs.Real(event_shape=())


@dataclass
class Given:
    """A model whose energy has just these embeddings."""

    spatial: Tensor
    temporal: Tensor | None = None

    def __call__(self, batch: object, /) -> Embedded:
        energy = gs.FunctionEnergy(function=lambda x: x, space=SPACE)
        found = Embeddings(labels=L, spatial=self.spatial, temporal=self.temporal)
        return Embedded(energy=energy, embeddings=found)


def random(*shape: int, seed: int = 0) -> Tensor:
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=rng, dtype=torch.float64)


def drawn(labels: Tensor, pairs: int, seed: int) -> list[tuple[int, int]]:
    rng = torch.Generator().manual_seed(seed)
    known = labels.flatten() != 11
    p, q = (draw(known, pairs, rng) for _ in range(2))
    assert p is not None and q is not None
    return list(zip(ints(p), ints(q), strict=True))


def written_out(energies: Tensor, left: int, right: int) -> Tensor:
    """-log softmax(-E) at the true pair of labels, over the L × L of them."""
    return (-energies).exp().sum().log() + energies[left, right]


LABELS = torch.tensor([[[0, 1, 2], [11, 0, 2]]])


def loss(found: dict[str, Tensor], labels: Tensor, **settings: object) -> dict[str, Tensor]:
    each = PairwiseEmbedding(pairs=7, **settings)  # type: ignore[arg-type]
    return each(Given(**found), {"labels": labels}, torch.Generator().manual_seed(5))


def test_embeddings_per_label_are_taught_by_all_pairs_of_labels() -> None:
    embeddings = random(1, D, L, H, W)
    flat, truth = embeddings[0].flatten(2), LABELS.flatten()
    expected = torch.stack(
        [
            written_out(flat[:, :, p].mT @ flat[:, :, q], int(truth[p]), int(truth[q]))
            for p, q in drawn(LABELS, 7, 5)
        ]
    ).mean()
    torch.testing.assert_close(loss({"spatial": embeddings}, LABELS)["spatial-embedding"], expected)


def test_shared_embeddings_cost_unequal_labels_alone() -> None:
    embeddings = random(1, D, H, W)
    flat, truth = embeddings[0].flatten(1), LABELS.flatten()
    unequal = 1 - torch.eye(L, dtype=torch.float64)
    expected = torch.stack(
        [
            written_out(unequal * (flat[:, p] @ flat[:, q]), int(truth[p]), int(truth[q]))
            for p, q in drawn(LABELS, 7, 5)
        ]
    ).mean()
    torch.testing.assert_close(loss({"spatial": embeddings}, LABELS)["spatial-embedding"], expected)


def test_same_or_not_is_a_logistic_loss() -> None:
    embeddings = random(1, D, H, W)
    flat, truth = embeddings[0].flatten(1), LABELS.flatten()
    expected = torch.stack(
        [
            (1 + (flat[:, p] @ flat[:, q] * (-1 if truth[p] == truth[q] else 1)).exp()).log()
            for p, q in drawn(LABELS, 7, 5)
        ]
    ).mean()
    found = loss({"spatial": embeddings}, LABELS, classes="same")
    torch.testing.assert_close(found["spatial-embedding"], expected)


def test_temporal_embeddings_are_of_two_frames() -> None:
    embeddings = random(1, 2, D, L, H, W)
    labels = torch.stack([LABELS, LABELS.roll(1, -1)], dim=1)
    truth = labels[0].flatten(1)
    rng = torch.Generator().manual_seed(5)
    for each in truth:  # the spatial pairs are drawn before the temporal ones
        draw(each != 11, 7, rng)
        draw(each != 11, 7, rng)
    p, q = (draw(each != 11, 7, rng) for each in truth)
    assert p is not None and q is not None
    flat = embeddings[0].flatten(3)
    expected = torch.stack(
        [
            written_out(flat[0, :, :, a].mT @ flat[1, :, :, b], int(truth[0, a]), int(truth[1, b]))
            for a, b in zip(ints(p), ints(q), strict=True)
        ]
    ).mean()
    found = loss({"spatial": embeddings, "temporal": embeddings}, labels)["temporal-embedding"]
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("shape", [(1, D, H, W), (1, D, L, H, W)])
def test_the_gradient_is_that_of_finite_differences(shape: tuple[int, ...]) -> None:
    embeddings = random(*shape).requires_grad_()

    def value(embeddings: Tensor) -> Tensor:
        return loss({"spatial": embeddings}, LABELS)["spatial-embedding"]

    assert torch.autograd.gradcheck(value, (embeddings,))


def test_descent_makes_the_true_pair_the_lowest() -> None:
    embeddings = nn.Parameter(0.1 * random(1, 4, L, H, W))
    optimiser = torch.optim.Adam([embeddings], lr=0.05)
    for _ in range(300):
        optimiser.zero_grad()
        loss({"spatial": embeddings}, LABELS)["spatial-embedding"].backward()
        optimiser.step()
    flat, truth = embeddings.detach()[0].flatten(2), LABELS.flatten()
    pairs = drawn(LABELS, 7, 5)
    lowest = [int((flat[:, :, p].mT @ flat[:, :, q]).argmin()) for p, q in pairs]
    assert lowest == [int(truth[p]) * L + int(truth[q]) for p, q in pairs]


def test_pixels_without_a_label_teach_nothing() -> None:
    embeddings = random(1, D, H, W)
    changed = embeddings.clone()
    changed[..., 1, 0] = 100.0
    before, after = (loss({"spatial": each}, LABELS) for each in (embeddings, changed))
    torch.testing.assert_close(before, after)
    nothing = loss({"spatial": embeddings}, torch.full_like(LABELS, 11))
    assert float(nothing["spatial-embedding"]) == 0


def test_the_label_of_a_patch_is_that_at_its_centre() -> None:
    labels = torch.arange(16).reshape(1, 4, 4)
    assert at_patches(labels, (2, 2)).tolist() == [[[5, 7], [13, 15]]]


def test_an_energy_without_embeddings_is_refused() -> None:
    def model(batch: object, /) -> gs.Energy:
        return gs.FunctionEnergy(function=lambda x: x, space=SPACE)

    with pytest.raises(gs.ViewError, match="Embeddings"):
        PairwiseEmbedding()(model, {"labels": LABELS}, torch.Generator())


def test_one_frame_has_no_other() -> None:
    embeddings = random(1, 1, D, H, W)
    with pytest.raises(ValueError, match="at least 2 frames"):
        loss({"spatial": embeddings, "temporal": embeddings}, LABELS[:, None])
