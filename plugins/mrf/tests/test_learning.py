"""Pseudo-likelihood and the gradient learner on a small Ising model."""

from collections.abc import Iterable
from typing import Literal

import pytest
import torch
from plugins.mrf.tests.random_problems import labellings, random_problem
from torch import Tensor

import groundstate as gs
from groundstate.learning import Batch
from groundstate.testing.typed import ints
from groundstate_mrf.factor_graph import FactorGraphEnergy
from groundstate_mrf.gradient import GradientLearner, GradientState
from groundstate_mrf.potts_grid import PottsGrid
from groundstate_mrf.pseudo_likelihood import PseudoLikelihood


def exact_conditionals(energy: FactorGraphEnergy, data: Tensor) -> Tensor:
    """-log p(x_i | rest), summed over i, by energies alone."""
    total = torch.zeros(len(data), dtype=torch.float64)
    for i, count in enumerate(ints(energy.counts)):
        moved = data.unsqueeze(1).repeat(1, count, 1)
        moved[:, :, i] = torch.arange(count)
        total -= (-energy(moved)).log_softmax(-1).gather(1, data[:, i : i + 1]).squeeze(1)
    return total.mean()


@pytest.mark.parametrize("seed", range(4))
def test_pseudo_likelihood_is_the_sum_of_conditionals(seed: int) -> None:
    energy = random_problem(seed)
    data = energy.space.sample(torch.Generator().manual_seed(0), (6,))

    def model(batch: Batch) -> FactorGraphEnergy:
        return energy

    loss = PseudoLikelihood()(model, {"data": data}, torch.Generator())
    torch.testing.assert_close(loss["pseudo-likelihood"], exact_conditionals(energy, data))


def sampled(model: PottsGrid, rows: int) -> Tensor:
    """Exact samples of a 3 x 3 model."""
    every = labellings([2] * 9)
    chance = (-model({})(every)).softmax(0)
    rng = torch.Generator().manual_seed(0)
    return every[torch.multinomial(chance, rows, replacement=True, generator=rng)]


def true_model() -> PottsGrid:
    rng = torch.Generator().manual_seed(7)
    model = PottsGrid(height=3, width=3).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(0.6 * torch.randn(parameter.shape, generator=rng))
    return model


def test_learner_reaches_the_optimum_of_the_pseudo_likelihood_near_the_truth() -> None:
    truth = true_model()
    with torch.no_grad():
        data = sampled(truth, 4000)
    model = PottsGrid(height=3, width=3).double()
    learner = GradientLearner(loss=PseudoLikelihood(), learning_rate=0.1)
    source = gs.Minibatches(tensors={"data": data}, size=4000)
    state = learner.init(model, source, torch.Generator().manual_seed(0))
    for step in range(150):
        state = learner.step(state, source(step))
    assert state.metrics["gradient-norm"] < 1e-3
    assert float(sum(p.detach().abs().sum() for p in model.parameters())) == 0
    for found, wanted in zip(state.model.parameters(), truth.parameters(), strict=True):
        assert float((found - wanted).detach().abs().max()) < 0.35
    moved = next(iter(truth.parameters()))
    loss = PseudoLikelihood()
    rng = torch.Generator()
    best = float(loss(state.model, {"data": data}, rng)["pseudo-likelihood"].detach())
    assert best <= float(loss(truth, {"data": data}, rng)["pseudo-likelihood"].detach())
    assert moved.shape == (3, 3, 1)


@pytest.mark.parametrize("optimiser", ["adam", "sgd"])
def test_learning_resumes_exactly(optimiser: Literal["adam", "sgd"]) -> None:
    data = sampled(true_model(), 50).detach()
    source = gs.Minibatches(tensors={"data": data}, size=10)
    learner = GradientLearner(
        loss=PseudoLikelihood(), optimiser=optimiser, clip=1.0, weight_decay=0.1
    )
    model = PottsGrid(height=3, width=3).double()

    def run(state: GradientState, steps: Iterable[int]) -> GradientState:
        for step in steps:
            state = learner.step(state, source(step))
        return state

    first = run(learner.init(model, source, torch.Generator().manual_seed(0)), range(4))
    saved = learner.save(first)
    whole = run(first, range(4, 9))
    fresh = learner.init(model, source, torch.Generator().manual_seed(1))
    resumed = run(learner.load(fresh, saved), range(4, 9))
    for left, right in zip(whole.model.parameters(), resumed.model.parameters(), strict=True):
        assert torch.equal(left, right)
    assert whole.metrics == resumed.metrics and whole.steps == resumed.steps == 9


def test_a_model_without_parameters_is_refused() -> None:
    learner = GradientLearner(loss=PseudoLikelihood())
    with pytest.raises(ValueError, match="parameters to learn"):
        learner.init(torch.nn.Identity(), lambda step: {}, torch.Generator())
