"""The network against the solver, its gradients, and its learning."""

import pytest
import torch
from torch import Tensor
from torch.func import functional_call

import groundstate as gs
from groundstate.learning import Minibatches
from groundstate_dense_crf.crf_as_rnn import CrfAsRnn
from groundstate_dense_crf.energy import dense_crf
from groundstate_dense_crf.filters import How
from groundstate_dense_crf.mean_field import DenseMeanField
from groundstate_mrf.gradient import GradientLearner
from groundstate_mrf.pseudo_likelihood import PseudoLikelihood

from .cases import photo, random_costs


@pytest.mark.parametrize("filter", ["exact", "lattice"])
@pytest.mark.parametrize("steps", [0, 1, 5, 10])
def test_with_tied_parameters_it_is_the_solver(filter: How, steps: int) -> None:
    unary, image = random_costs(2, 5, 5, 4, seed=0), torch.stack([photo(5), photo(6)[:5, :5]])
    energy = dense_crf(unary=unary, image=image, appearance_position=2.0, filter=filter)
    model = CrfAsRnn(labels=4, appearance_position=2.0, test_steps=steps, filter=filter).double()
    model.log_bandwidths.data = torch.tensor([2.0, 0.05, 3.0], dtype=torch.float64).log()
    network = model.eval()({"unary": unary, "image": image}).log_beliefs.exp()
    solver = DenseMeanField(tolerance=1e-300)
    q = gs.solve(energy, solver, steps=steps).state.q.reshape(unary.shape)
    torch.testing.assert_close(network, q, rtol=0, atol=1e-12)


@pytest.mark.parametrize("filter", ["exact", "lattice"])
def test_gradients_through_all_steps(filter: How) -> None:
    model = CrfAsRnn(
        labels=3,
        appearance_weight=1.0,
        appearance_position=2.0,
        appearance_colour=0.4,
        smoothness_weight=0.5,
        training_steps=3,
        learn_bandwidths=filter == "exact",
        filter=filter,
    ).double()
    names = [name for name, each in model.named_parameters() if each.requires_grad]
    image = photo(3)[:2]

    def beliefs(unary: Tensor, *parameters: Tensor) -> Tensor:
        given = ({"unary": unary, "image": image},)
        made = functional_call(model, dict(zip(names, parameters, strict=True)), given)
        return made.log_beliefs

    values = [model.get_parameter(name).detach().clone().requires_grad_() for name in names]
    assert len(values) == (3 if filter == "exact" else 2)
    assert torch.autograd.gradcheck(
        beliefs, (random_costs(2, 3, 3, seed=1).requires_grad_(), *values)
    )


def test_five_steps_to_train_and_ten_to_use() -> None:
    batch = {"unary": random_costs(4, 4, 2, seed=2), "image": photo(4)}
    model = CrfAsRnn(labels=2).double()
    trained, used = model(batch).log_beliefs, model.eval()(batch).log_beliefs
    for steps, expected in ((5, trained), (10, used)):
        plain = CrfAsRnn(labels=2, training_steps=steps).double()
        torch.testing.assert_close(plain(batch).log_beliefs, expected)
    assert not torch.equal(trained, used)


def test_its_energy_is_a_log_probability() -> None:
    batch = {"unary": random_costs(2, 2, 3, seed=3), "image": photo(2)}
    energy = CrfAsRnn(labels=3).double()(batch)
    beliefs, _ = gs.infer(energy, gs.load().build("solver/brute-force", marginals=True))
    assert beliefs.log_partition is not None
    torch.testing.assert_close(beliefs.log_partition, torch.zeros(()).double())
    expected = energy.log_beliefs.exp().flatten()
    torch.testing.assert_close(beliefs.marginals, expected.detach())


def test_pseudo_likelihood_is_cross_entropy_and_learning_lowers_it() -> None:
    image = photo(12)
    truth = (image.mean(-1) > 0.45).long()
    noise = torch.randn(8, 12, 12, generator=torch.Generator().manual_seed(0)).double()
    score = 1.5 * (truth - 0.5) + noise
    tensors = {
        "unary": torch.stack([score, -score], -1),
        "image": image.expand(8, 12, 12, 3),
        "data": truth.expand(8, 12, 12),
    }
    model = CrfAsRnn(
        labels=2, appearance_weight=0.1, appearance_position=4.0, smoothness_weight=0.1
    ).double()
    loss, rng = PseudoLikelihood(), torch.Generator()
    cross = torch.nn.functional.cross_entropy(
        model(tensors).log_beliefs.movedim(-1, 1), tensors["data"], reduction="sum"
    )
    (before,) = loss(model, tensors, rng).values()
    torch.testing.assert_close(before, cross / 8)
    learner = GradientLearner(loss=loss, learning_rate=0.1)
    state = learner.init(model, Minibatches(tensors=tensors, size=8), rng)
    for _ in range(25):
        state = learner.step(state, tensors)
    assert learner.measure(state, tensors)["loss"] < 0.9 * float(before.detach())
