"""How alike pixels are: far from 0, with numbers that are none, and after changes in place."""

import pytest
import torch
from plugins.gcrf.tests.crfs import normal

import groundstate as gs
from groundstate_gcrf.conjugate_gradients import ConjugateGradients
from groundstate_gcrf.energies.affinity import affinity_gcrf
from groundstate_gcrf.energies.neighbours import Likeness, dense_similarity, sparse_similarity

PINNED = torch.tensor([[1.0, 0, 0], [0, 0, 1]])
EVERY = 6


def test_distances_do_not_see_where_zero_is() -> None:
    """In float32 products of embeddings around 1000 have an error of 0.1."""
    near = 5 * normal(0, 3, 2, 3)
    exact = dense_similarity(near, likeness="distance", itself=True, weakest=0.0).weights
    far = (near + 1000).float()
    found = dense_similarity(far, likeness="distance", itself=True, weakest=0.0).weights
    torch.testing.assert_close(found.double(), exact, rtol=5e-3, atol=1e-6)


@pytest.mark.parametrize("likeness", ["inner-product", "distance"])
@pytest.mark.parametrize("neighbours", [None, EVERY])
@pytest.mark.parametrize("wrong", [float("nan"), float("inf"), 1e30])
def test_embeddings_without_a_finite_length_are_refused(
    wrong: float, neighbours: int | None, likeness: Likeness
) -> None:
    embeddings = normal(0, 3, 2, 3).float()
    embeddings[0, 0, 1] = wrong
    with pytest.raises(ValueError, match="embeddings must be finite, their squared lengths, too"):
        affinity_gcrf(
            embeddings=embeddings,
            pinned=PINNED,
            values=PINNED,
            neighbours=neighbours,
            likeness=likeness,
        )


def test_a_product_follows_weights_that_are_changed_in_place() -> None:
    similarity = sparse_similarity(
        normal(0, 3, 2, 3),
        neighbours=EVERY,
        window=1,
        likeness="distance",
        itself=True,
        weakest=0.0,
    )
    ones = torch.ones(EVERY, dtype=torch.float64)
    torch.testing.assert_close(similarity.apply(ones), ones)
    similarity.weights.mul_(2)
    torch.testing.assert_close(similarity.apply(ones), 2 * ones)
    torch.testing.assert_close(similarity.apply_transposed(ones), similarity.received())


def test_inference_mode_does_as_well() -> None:
    def found() -> torch.Tensor:
        energy = affinity_gcrf(
            embeddings=normal(0, 3, 2, 3),
            pinned=PINNED,
            values=PINNED.double(),
            neighbours=4,
        )
        return gs.solve(energy, ConjugateGradients(), gradient="none").x

    with torch.inference_mode():
        inside = found()
    torch.testing.assert_close(inside, found())
