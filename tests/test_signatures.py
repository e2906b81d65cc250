"""The signature drill: one tiny method per body of method, to see that the interfaces fit.

Each case is as small as it can be while still being the real thing. The file is type-checked
strictly; what did not fit here changed the signature.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any

import networkx as nx
import numpy as np
import torch
from scipy import optimize
from torch import Tensor, nn

import groundstate as gs
from groundstate.energy import Views
from groundstate.learning import Batch

CHAIN = torch.tensor([[0.0, 1.0], [0.4, 0.5], [1.0, 0.0]], dtype=torch.float64)


@dataclass(frozen=True, kw_only=True)
class Chain:
    """Unary table plus Potts coupling along a chain of binary (or wider) variables."""

    unary: Tensor
    coupling: Tensor | float = 0.5

    @property
    def space(self) -> gs.Discrete:
        nodes, labels = self.unary.shape
        return gs.Discrete(counts=torch.full((nodes,), labels))

    @property
    def views(self) -> Views:
        return {}

    def __call__(self, x: Tensor, /) -> Tensor:
        chosen = self.unary.gather(1, x.reshape(-1, len(self.unary)).T).sum(0)
        jumps = (x[..., 1:] != x[..., :-1]).sum(-1)
        return chosen.reshape(x.shape[:-1]) + self.coupling * jumps


def everything(energy: Chain) -> Tensor:
    """All labellings."""
    return torch.tensor(list(product(*(range(int(c)) for c in energy.space.counts))))


def done(state: gs.State, status: gs.Status | None) -> Tensor:
    return torch.tensor(int(status or gs.Status.RUNNING))


@dataclass(frozen=True, kw_only=True)
class Finishing(gs.State):
    finished: bool = False


@dataclass(frozen=True, kw_only=True)
class GraphCut:
    """A one-step method: the first step finishes."""

    def init(self, energy: gs.Energy, x0: Tensor | None, rng: torch.Generator) -> Finishing:
        return Finishing(x=energy.space.sample(rng) if x0 is None else x0)

    def step(self, energy: gs.Energy, state: Finishing, deadline: gs.Deadline) -> Finishing:
        assert isinstance(energy, Chain)
        library: Any = nx
        graph = library.DiGraph()
        for node, row in enumerate(energy.unary):
            zero, one = float(row[0]), float(row[1])
            graph.add_edge("s", node, capacity=one)
            graph.add_edge(node, "t", capacity=zero)
        for node in range(len(energy.unary) - 1):
            graph.add_edge(node, node + 1, capacity=float(energy.coupling))
            graph.add_edge(node + 1, node, capacity=float(energy.coupling))
        value, (zeros, _) = library.minimum_cut(graph, "s", "t")
        x = torch.tensor([0 if node in zeros else 1 for node in range(len(energy.unary))])
        cut = torch.tensor(value, dtype=torch.float64)
        return Finishing(x=x, energy=cut, bound=cut, finished=True)

    def status(self, state: Finishing) -> Tensor:
        return done(state, gs.Status.OPTIMAL if state.finished else None)


def test_graph_cut_is_a_solver_whose_first_step_finishes() -> None:
    solution = gs.solve(Chain(unary=CHAIN), GraphCut())
    assert solution.steps == 1 and solution.status == gs.Status.OPTIMAL
    assert solution.energy == Chain(unary=CHAIN)(everything(Chain(unary=CHAIN))).min()
    assert solution.gap == 0


@dataclass(frozen=True, kw_only=True)
class IntegerProgram:
    """Indicators of whole labellings; the time left goes to the library, the bound comes back."""

    def init(self, energy: gs.Energy, x0: Tensor | None, rng: torch.Generator) -> Finishing:
        return Finishing(x=torch.zeros(energy.space.layout.shape, dtype=torch.int64))

    def step(self, energy: gs.Energy, state: Finishing, deadline: gs.Deadline) -> Finishing:
        assert isinstance(energy, Chain)
        labellings = everything(energy)
        costs = energy(labellings).numpy()
        library: Any = optimize
        result = library.milp(
            costs,
            integrality=np.ones_like(costs),
            bounds=library.Bounds(0, 1),
            constraints=library.LinearConstraint(np.ones((1, len(costs))), 1, 1),
            options={"time_limit": min(deadline.remaining, 60.0)},
        )
        bound = torch.tensor(result.mip_dual_bound, dtype=torch.float64)
        return Finishing(x=labellings[int(result.x.argmax())], bound=bound, finished=True)

    def status(self, state: Finishing) -> Tensor:
        return done(state, gs.Status.OPTIMAL if state.finished else None)


def test_integer_program_keeps_the_deadline_and_gives_a_bound() -> None:
    solution = gs.solve(Chain(unary=CHAIN), IntegerProgram(), seconds=30)
    assert solution.gap is not None and abs(float(solution.gap)) < 1e-6


@dataclass(frozen=True, kw_only=True)
class JunctionTree:
    """Exact beliefs (by enumeration here; what matters is where they go)."""

    def init(self, energy: gs.Energy, x0: Tensor | None, rng: torch.Generator) -> gs.State:
        return gs.State(x=torch.zeros(energy.space.layout.shape, dtype=torch.int64))

    def step(self, energy: gs.Energy, state: gs.State, deadline: gs.Deadline) -> gs.State:
        assert isinstance(energy, Chain)
        labellings = everything(energy)
        costs = energy(labellings)
        weights = torch.softmax(-costs, 0)
        hot = nn.functional.one_hot(labellings, 2).to(weights.dtype).flatten(1)
        log_z = torch.logsumexp(-costs, 0)
        beliefs = gs.Beliefs(marginals=weights @ hot, log_partition=log_z, lower=log_z, upper=log_z)
        return gs.State(x=labellings[int(costs.argmin())], beliefs=beliefs)

    def status(self, state: gs.State) -> Tensor:
        return done(state, None if state.beliefs is None else gs.Status.OPTIMAL)


def test_junction_tree_gives_beliefs() -> None:
    beliefs, solution = gs.infer(Chain(unary=CHAIN), JunctionTree())
    assert beliefs.marginals.shape == (6,) and solution.status == gs.Status.OPTIMAL


@dataclass(frozen=True, kw_only=True)
class Heat(gs.State):
    temperature: float


@dataclass(frozen=True, kw_only=True)
class Annealing:
    """Goes up as well as down; the core keeps the best. Randomness lives in the state."""

    cooling: float = 0.99

    def init(self, energy: gs.Energy, x0: Tensor | None, rng: torch.Generator) -> Heat:
        x = energy.space.sample(rng) if x0 is None else x0
        return Heat(x=x, energy=energy(x), temperature=2.0, rng=rng.get_state())

    def step(self, energy: gs.Energy, state: Heat, deadline: gs.Deadline) -> Heat:
        assert state.rng is not None and state.energy is not None
        rng = torch.Generator()
        rng.set_state(state.rng)
        proposal = energy.space.sample(rng)
        rise = energy(proposal) - state.energy
        accept = torch.rand((), generator=rng) < torch.exp(-rise / state.temperature)
        return Heat(
            x=torch.where(accept, proposal, state.x),
            energy=torch.where(accept, energy(proposal), state.energy),
            temperature=state.temperature * self.cooling,
            rng=rng.get_state(),
        )

    def status(self, state: Heat) -> Tensor:
        return done(state, None)


def test_annealing_returns_the_incumbent_and_resumes() -> None:
    energy = Chain(unary=CHAIN)
    whole = gs.solve(energy, Annealing(), steps=200, seed=3)
    half = gs.solve(energy, Annealing(), steps=100, seed=3)
    rest = gs.solve(energy, Annealing(), steps=100, state=half.state)
    assert torch.equal(whole.state.x, rest.state.x)
    assert whole.energy == min(float(record.energy) for record in whole.trace)
    assert whole.status == gs.Status.OUT_OF_STEPS


@dataclass(frozen=True, kw_only=True)
class Residual(gs.State):
    direction: Tensor
    remainder: Tensor


@dataclass(frozen=True, kw_only=True)
class ConjugateGradient:
    """Any batch and event shape, through the layout."""

    tolerance: float = 1e-10

    def init(self, energy: gs.Energy, x0: Tensor | None, rng: torch.Generator) -> Residual:
        quadratic = gs.view(energy, gs.Quadratic)
        x = torch.zeros(energy.space.layout.shape, dtype=quadratic.linear.dtype)
        remainder = quadratic.linear.expand_as(x) - quadratic.matvec(x)
        one = torch.ones_like(energy.space.layout.sum(x))
        return Residual(x=x, direction=remainder, remainder=remainder, residual=one)

    def step(self, energy: gs.Energy, state: Residual, deadline: gs.Deadline) -> Residual:
        quadratic, layout = gs.view(energy, gs.Quadratic), energy.space.layout
        product = quadratic.matvec(state.direction)
        old = layout.dot(state.remainder, state.remainder)
        length = layout.expand(old / layout.dot(state.direction, product).clamp(min=1e-300))
        remainder = state.remainder - length * product
        new = layout.dot(remainder, remainder)
        ratio = layout.expand(new / old.clamp(min=1e-300))
        norm = layout.dot(quadratic.linear, quadratic.linear).sqrt()
        return Residual(
            x=state.x + length * state.direction,
            direction=remainder + ratio * state.direction,
            remainder=remainder,
            residual=new.sqrt() / norm.clamp(min=1e-300),
        )

    def status(self, state: Residual) -> Tensor:
        assert state.residual is not None
        return (state.residual < self.tolerance).to(torch.int64) * int(gs.Status.CONVERGED)


def bowl(matrix: Tensor, linear: Tensor) -> gs.QuadraticEnergy:
    """Right-hand sides are the batch; they share one matrix."""
    quadratic = gs.Quadratic(
        matvec=lambda x: x @ matrix,
        linear=linear,
        constant=linear.new_zeros(()),
        diagonal=matrix.diagonal(),
    )
    space = gs.Real(
        event_shape=(linear.shape[-1],), batch_shape=tuple(linear.shape[:-1]), dtype=linear.dtype
    )
    return gs.QuadraticEnergy(quadratic=quadratic, space=space)


def test_three_channels_share_one_matrix_and_have_an_implicit_gradient() -> None:
    rng = torch.Generator().manual_seed(0)
    root = torch.randn(5, 5, generator=rng, dtype=torch.float64)
    linear = torch.randn(3, 5, generator=rng, dtype=torch.float64, requires_grad=True)

    def minimiser(root: Tensor, linear: Tensor) -> Tensor:
        matrix = root @ root.T + torch.eye(5, dtype=root.dtype)
        return gs.solve(bowl(matrix, linear), ConjugateGradient(), gradient="implicit").x

    x = minimiser(root, linear)
    assert x.shape == (3, 5)
    assert torch.autograd.gradcheck(minimiser, (root.requires_grad_(), linear))


def test_different_graphs_in_one_batch_have_a_status_each() -> None:
    eyes = [torch.eye(n, dtype=torch.float64) * (n + 1) for n in (2, 5, 3)]
    parts = [bowl(matrix, matrix.diagonal()) for matrix in eyes]
    union = gs.union(parts)
    x = torch.ones(10, dtype=torch.float64)
    assert torch.equal(
        union(x),
        torch.stack([part(piece) for part, piece in zip(parts, union.split(x), strict=True)]),
    )
    solution = gs.solve(union, ConjugateGradient())
    assert torch.allclose(solution.x, x) and solution.status.shape == (3,)
    chains = gs.union([Chain(unary=CHAIN), Chain(unary=CHAIN[:2])])
    labelled = gs.solve(chains, RandomRestarts(), steps=60)
    assert labelled.x.shape == (5,) and labelled.status.shape == (2,)
    for part, energy in zip(chains.split(labelled.x), labelled.energy, strict=True):
        assert Chain(unary=CHAIN[: len(part)])(part) == energy


@dataclass(frozen=True, kw_only=True)
class RandomRestarts:
    """The core's incumbent, per problem, does the rest."""

    def init(self, energy: gs.Energy, x0: Tensor | None, rng: torch.Generator) -> gs.State:
        return gs.State(x=energy.space.sample(rng), rng=rng.get_state())

    def step(self, energy: gs.Energy, state: gs.State, deadline: gs.Deadline) -> gs.State:
        assert state.rng is not None
        rng = torch.Generator()
        rng.set_state(state.rng)
        return gs.State(x=energy.space.sample(rng), rng=rng.get_state())

    def status(self, state: gs.State) -> Tensor:
        return torch.zeros(2, dtype=torch.int64)


@dataclass(frozen=True, kw_only=True)
class Policy:
    """A constructive solver: `assigned` grows, `x` is complete at every moment."""

    network: nn.Module

    def init(self, energy: gs.Energy, x0: Tensor | None, rng: torch.Generator) -> gs.State:
        x = torch.zeros(energy.space.layout.shape, dtype=torch.int64)
        return gs.State(x=x, assigned=torch.zeros_like(x, dtype=torch.bool))

    def step(self, energy: gs.Energy, state: gs.State, deadline: gs.Deadline) -> gs.State:
        assert isinstance(energy, Chain) and state.assigned is not None
        values = self.values(energy.unary, state.assigned)
        node, label = divmod(int(values.argmax()), values.shape[1])
        x, assigned = state.x.clone(), state.assigned.clone()
        x[node], assigned[node] = label, True
        return gs.State(x=x, assigned=assigned)

    def status(self, state: gs.State) -> Tensor:
        assert state.assigned is not None
        return done(state, gs.Status.CONVERGED if bool(state.assigned.all()) else None)

    def values(self, unary: Tensor, assigned: Tensor) -> Tensor:
        flags = assigned[:, None].to(unary.dtype)
        values: Tensor = self.network(torch.cat([unary, flags], -1))
        return values.masked_fill(assigned[:, None], float("-inf"))


@dataclass
class Trained:
    """What a torch learner's state owns; modules change in place."""

    model: nn.Module
    optimisers: dict[str, torch.optim.Optimizer]
    rng: torch.Generator
    metrics: dict[str, float] = field(default_factory=dict[str, float])


@dataclass(frozen=True, kw_only=True)
class TorchLearner:
    """`save`, `load` and `measure` that the learners of the drill share by composition."""

    def save(self, state: Trained) -> dict[str, Any]:
        return {
            "model": {k: v.clone() for k, v in state.model.state_dict().items()},
            "optimisers": {k: v.state_dict() for k, v in state.optimisers.items()},
            "rng": state.rng.get_state(),
            "metrics": dict(state.metrics),
        }

    def load(self, state: Trained, saved: Mapping[str, Any]) -> Trained:
        state.model.load_state_dict(saved["model"])
        for name, optimiser in state.optimisers.items():
            optimiser.load_state_dict(saved["optimisers"][name])
        state.rng.set_state(saved["rng"])
        return replace(state, metrics=dict(saved["metrics"]))

    def measure(self, state: Trained, batch: Batch | None) -> Mapping[str, float]:
        return state.metrics


@dataclass(frozen=True, kw_only=True)
class QLearner:
    """The source generates problems; the learner plays them and learns from what happened."""

    shared: TorchLearner = TorchLearner()

    def init(self, model: nn.Module, source: gs.Source, rng: torch.Generator) -> Trained:
        return Trained(model, {"q": torch.optim.Adam(model.parameters(), 1e-2)}, rng)

    def step(self, state: Trained, batch: Batch) -> Trained:
        policy, energy = Policy(network=state.model), Chain(unary=batch["unary"])
        assigned = torch.zeros(len(energy.unary), dtype=torch.bool)
        node = int(torch.randint(len(energy.unary), (), generator=state.rng))
        value = policy.values(energy.unary, assigned)[node, 0]
        loss = (value + energy.unary[node, 0]) ** 2
        state.optimisers["q"].zero_grad()
        loss.backward()
        state.optimisers["q"].step()
        return replace(state, metrics={"loss": float(loss.detach())})

    def measure(self, state: Trained, batch: Batch | None) -> Mapping[str, float]:
        return self.shared.measure(state, batch)

    def save(self, state: Trained) -> dict[str, Any]:
        return self.shared.save(state)

    def load(self, state: Trained, saved: Mapping[str, Any]) -> Trained:
        return self.shared.load(state, saved)


def test_one_network_is_a_policy_as_solver_and_is_trained_by_a_learner() -> None:
    network = nn.Linear(3, 2, dtype=torch.float64)

    def problems(step: int) -> Batch:
        return {"unary": torch.rand(4, 2, generator=torch.Generator().manual_seed(step)).double()}

    fit = gs.fit(QLearner(), network, problems, steps=5, evaluate_every=5)
    assert fit.history[-1].loss >= 0
    solution = gs.solve(Chain(unary=CHAIN), Policy(network=network))
    assert solution.steps == 3 and solution.status == gs.Status.CONVERGED


class VariationalAutoencoder(nn.Module):
    """A generator with a bound on its density, and so with `log_prob_bound` only."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Linear(2, 2)
        self.decoder = nn.Linear(1, 2)

    @property
    def reparametrised(self) -> bool:
        return True

    def sample(self, n: int, condition: Tensor | None, rng: torch.Generator) -> Tensor:
        mean: Tensor = self.decoder(torch.randn(n, 1, generator=rng))
        return mean + torch.randn(mean.shape, generator=rng)

    def terms(self, x: Tensor, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        mean, log_std = self.encoder(x).chunk(2, -1)
        code = mean + log_std.exp() * torch.randn(mean.shape, generator=rng)
        fit = torch.distributions.Normal(self.decoder(code), 1.0).log_prob(x).sum(-1)
        divergence = (0.5 * (mean**2 + (2 * log_std).exp() - 1) - log_std).sum(-1)
        return fit, divergence

    def log_prob_bound(self, x: Tensor, condition: Tensor | None, rng: torch.Generator) -> Tensor:
        fit, divergence = self.terms(x, rng)
        return fit - divergence


@dataclass(frozen=True, kw_only=True)
class EvidenceBound:
    """A loss of several named terms."""

    @property
    def needs(self) -> gs.Needs:
        return gs.Needs(keys=("data",))

    def __call__(
        self, model: VariationalAutoencoder, batch: Batch, rng: torch.Generator, /
    ) -> dict[str, Tensor]:
        fit, divergence = model.terms(batch["data"], rng)
        return {"reconstruction": -fit.mean(), "divergence": divergence.mean()}


def test_variational_autoencoder_never_claims_a_log_prob() -> None:
    model: gs.Generator = VariationalAutoencoder()
    loss: gs.Loss = EvidenceBound()
    rng = torch.Generator().manual_seed(0)
    data = model.sample(4, None, rng)
    assert set(loss(model, {"data": data}, rng)) == {"reconstruction", "divergence"}
    assert not isinstance(model, gs.DensityGenerator) and isinstance(model, gs.BoundedGenerator)


class Flow(nn.Module):
    """One object, two kinds: an energy (-log p) with a Density view, and an exact generator."""

    def __init__(self) -> None:
        super().__init__()
        self.shift = nn.Parameter(torch.ones(2))
        self.log_scale = nn.Parameter(torch.zeros(2))

    @property
    def space(self) -> gs.Real:
        return gs.Real(event_shape=(2,))

    @property
    def views(self) -> Views:
        return {gs.Density: lambda: gs.Density(log_prob=lambda x: -self(x))}

    def forward(self, x: Tensor, /) -> Tensor:
        z = (x - self.shift) * torch.exp(-self.log_scale)
        normal = torch.distributions.Normal(0.0, 1.0)
        return self.log_scale.sum() - normal.log_prob(z).sum(-1)

    @property
    def reparametrised(self) -> bool:
        return True

    def sample(self, n: int, condition: Tensor | None, rng: torch.Generator) -> Tensor:
        return self.shift + self.log_scale.exp() * torch.randn(n, 2, generator=rng)

    def log_prob(self, x: Tensor, condition: Tensor | None) -> Tensor:
        return -self.forward(x)

    def sample_with_log_prob(
        self, n: int, condition: Tensor | None, rng: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        x = self.sample(n, condition, rng)
        return x, self.log_prob(x, None)


def test_flow_is_an_energy_and_a_generator() -> None:
    flow = Flow()
    energy: gs.Energy = flow
    generator: gs.DensityGenerator = flow
    x = generator.sample(5, None, torch.Generator().manual_seed(0))
    assert torch.equal(gs.view(energy, gs.Density).log_prob(x), generator.log_prob(x, None))


class Critics(nn.Module):
    """Generator and critic under one roof; the critic may look at a whole set (BGAN)."""

    def __init__(self) -> None:
        super().__init__()
        self.generator = Flow()
        self.critic = nn.Linear(2, 1)

    def as_set_critic(self) -> gs.SetCritic:
        def criticise(rows: Tensor) -> Tensor:
            values: Tensor = self.critic(rows)
            return values.mean((-2, -1))

        return gs.SetCritic(criticise=criticise, per_row=False)


@dataclass(frozen=True, kw_only=True)
class Wasserstein:
    """Two optimisers in one state; the set critic gives one number per set."""

    shared: TorchLearner = TorchLearner()

    def init(self, model: Critics, source: gs.Source, rng: torch.Generator) -> Trained:
        optimisers: dict[str, torch.optim.Optimizer] = {
            "critic": torch.optim.RMSprop(model.critic.parameters(), 1e-2),
            "generator": torch.optim.RMSprop(model.generator.parameters(), 1e-2),
        }
        return Trained(model, optimisers, rng)

    def step(self, state: Trained, batch: Batch) -> Trained:
        model = state.model
        assert isinstance(model, Critics)
        critic = model.as_set_critic()
        for name, sign in (("critic", 1.0), ("generator", -1.0)):
            fake = model.generator.sample(8, None, state.rng)
            loss = sign * (critic.criticise(fake) - critic.criticise(batch["set"]))
            state.optimisers[name].zero_grad()
            loss.backward()
            state.optimisers[name].step()
            state.metrics["loss"] = float(loss.detach())
        return state

    def measure(self, state: Trained, batch: Batch | None) -> Mapping[str, float]:
        return self.shared.measure(state, batch)

    def save(self, state: Trained) -> dict[str, Any]:
        return self.shared.save(state)

    def load(self, state: Trained, saved: Mapping[str, Any]) -> Trained:
        return self.shared.load(state, saved)


def test_two_optimisers_and_a_set_critic_are_one_learner() -> None:
    source = gs.Minibatches(
        tensors={"set": torch.randn(32, 2, generator=torch.Generator())}, size=8
    )
    fit = gs.fit(Wasserstein(), Critics(), source, steps=4, evaluate_every=2)
    assert len(fit.history) == 2 and set(fit.state.optimisers) == {"critic", "generator"}


class MixtureDensity(nn.Module):
    """A conditional generator: what it depends on comes as `condition`."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(3, 4)

    @property
    def reparametrised(self) -> bool:
        return False

    def mixture(self, condition: Tensor) -> torch.distributions.MixtureSameFamily:
        logits, means = self.head(condition).chunk(2, -1)
        return torch.distributions.MixtureSameFamily(
            torch.distributions.Categorical(logits=logits), torch.distributions.Normal(means, 0.1)
        )

    def sample(self, n: int, condition: Tensor | None, rng: torch.Generator) -> Tensor:
        assert condition is not None
        mixture = self.mixture(condition)
        probabilities: Tensor = mixture.mixture_distribution.probs
        which = torch.multinomial(probabilities, n, replacement=True, generator=rng).T
        means: Tensor = mixture.component_distribution.mean
        mean = means.expand(n, *means.shape).gather(-1, which[..., None])[..., 0]
        return mean + 0.1 * torch.randn(mean.shape, generator=rng)


def test_mixture_density_network_takes_a_condition() -> None:
    model: gs.Generator = MixtureDensity()
    condition = torch.zeros(5, 3)
    assert model.sample(7, condition, torch.Generator().manual_seed(0)).shape == (7, 5)


class Potentials(nn.Module):
    """A network that makes an energy from its inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.unary = nn.Linear(4, 2, dtype=torch.float64)

    def forward(self, batch: Batch, /) -> Chain:
        return Chain(unary=self.unary(batch["features"]))


@dataclass(frozen=True, kw_only=True)
class MaxMargin:
    """Loss-augmented inference: the loss calls a solver on a wrapped energy."""

    solver: GraphCut

    @property
    def needs(self) -> gs.Needs:
        return gs.Needs(keys=("features", "data"))

    def __call__(
        self, model: Potentials, batch: Batch, rng: torch.Generator, /
    ) -> dict[str, Tensor]:
        energy, truth = model(batch), batch["data"]
        hamming = 1.0 - nn.functional.one_hot(truth, 2).to(energy.unary.dtype)
        augmented = Chain(unary=(energy.unary - hamming).detach())
        shifted = Chain(unary=augmented.unary - augmented.unary.min())
        worst = gs.solve(shifted, self.solver).x
        margin = (worst != truth).sum()
        return {"hinge": energy(truth) - energy(worst) + margin}


def test_structured_svm_calls_a_solver_inside_the_loss() -> None:
    loss: gs.Loss = MaxMargin(solver=GraphCut())
    model: gs.Model = Potentials()
    batch = {"features": torch.ones(3, 4, dtype=torch.float64), "data": torch.tensor([0, 1, 1])}
    (hinge,) = loss(model, batch, torch.Generator()).values()
    assert hinge >= 0 and hinge.requires_grad


def test_network_energy_solver_loss_is_one_differentiable_pipe() -> None:
    network = nn.Conv1d(1, 1, 3, padding=1, dtype=torch.float64)
    linear: Tensor = network(torch.linspace(0, 1, 6, dtype=torch.float64)[None])
    matrix = 2.0 * torch.eye(6, dtype=torch.float64)
    x = gs.solve(bowl(matrix, linear), ConjugateGradient(), gradient="implicit").x
    ((x - 1) ** 2).sum().backward()
    assert network.weight.grad is not None and bool(network.weight.grad.abs().sum() > 0)


@dataclass(frozen=True, kw_only=True)
class ProjectedGradient:
    """A constraint is in the space; a solver that respects it asks there."""

    def init(self, energy: gs.Energy, x0: Tensor | None, rng: torch.Generator) -> gs.State:
        return gs.State(x=energy.space.sample(rng) if x0 is None else x0)

    def step(self, energy: gs.Energy, state: gs.State, deadline: gs.Deadline) -> gs.State:
        assert isinstance(energy.space, gs.Real)
        with torch.enable_grad():
            x = state.x.detach().requires_grad_()
            (slope,) = torch.autograd.grad(energy(x).sum(), x)
        return gs.State(x=(state.x - 0.1 * slope).clamp(energy.space.lower, energy.space.upper))

    def status(self, state: gs.State) -> Tensor:
        return done(state, None)


def test_constraints_are_part_of_the_space() -> None:
    box = gs.Real(event_shape=(2,), lower=0.0, upper=1.0, dtype=torch.float64)
    energy = gs.FunctionEnergy(function=lambda x: ((x - 2) ** 2).sum(-1), space=box)
    solution = gs.solve(energy, ProjectedGradient(), steps=100)
    assert torch.equal(solution.x, torch.ones(2, dtype=torch.float64))
