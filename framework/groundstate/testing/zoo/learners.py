"""Wrong learners, made from gradient descent with momentum on a small loss."""

import copy
import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import UInt8
from torch import Tensor

from groundstate.component import Component
from groundstate.examples import LearnerExample
from groundstate.learning import Batch, Minibatches, Source
from groundstate.solver import generator_from
from groundstate.testing.zoo.animal import Animal, component
from groundstate.testing.zoo.losses import Denoising, GaussianModel


@dataclass(frozen=True, kw_only=True)
class Learned:
    """Everything that changes.

    Attributes:
        model: the model, trained in place.
        optimiser: with its momentum.
        rng: state of the random numbers.
        loss: of the last step; NaN before the first.
    """

    model: Any
    optimiser: torch.optim.Optimizer
    rng: UInt8[Tensor, " bytes"]
    loss: float


_CPU = torch.device("cpu")


@dataclass(frozen=True, kw_only=True)
class Momentum:
    """Gradient descent with momentum on the denoising loss.

    Attributes:
        rate: step length; negative goes uphill.
        source: where the loss's random numbers come from.
    """

    rate: float = 0.002
    source: str = "given"

    def init(self, model: Any, source: Source, rng: torch.Generator) -> Learned:
        optimiser = torch.optim.SGD(
            model.parameters(), lr=abs(self.rate), momentum=0.9, maximize=self.rate < 0
        )
        return Learned(model=model, optimiser=optimiser, rng=rng.get_state(), loss=float("nan"))

    def step(self, state: Learned, batch: Batch) -> Learned:
        rng = generator_from(state.rng, _CPU)
        terms = Denoising(source=self.source)(state.model, batch, rng)
        total = torch.stack(list(terms.values())).sum()
        state.optimiser.zero_grad()
        total.backward()
        state.optimiser.step()
        return replace(state, rng=rng.get_state(), loss=float(total.detach()))

    def measure(self, state: Learned, batch: Batch | None) -> Mapping[str, float]:
        if batch is None:
            return {"loss": state.loss}
        rng = torch.Generator().manual_seed(0)
        with torch.no_grad():
            terms = Denoising()(state.model, batch, rng)
        return {"loss": float(sum(terms.values()))}

    def save(self, state: Learned) -> dict[str, Any]:
        return copy.deepcopy(
            {
                "model": state.model.state_dict(),
                "optimiser": state.optimiser.state_dict(),
                "rng": state.rng,
                "loss": state.loss,
            }
        )

    def load(self, state: Learned, saved: Mapping[str, Any]) -> Learned:
        kept = copy.deepcopy(dict(saved))
        state.model.load_state_dict(kept["model"])
        state.optimiser.load_state_dict(kept["optimiser"])
        return replace(state, rng=kept["rng"], loss=kept["loss"])


@dataclass(frozen=True, kw_only=True)
class Twisted:
    """A correct learner with something changed."""

    inner: Momentum
    begin: Callable[[Momentum, Learned], Learned] | None = None
    before_step: Callable[[Learned, Batch], Any] | None = None
    on_measure: Callable[[Momentum, Learned, Batch | None], Any] | None = None
    on_save: Callable[[Learned, dict[str, Any]], dict[str, Any]] | None = None
    on_load: Callable[[Learned, Mapping[str, Any], Tensor], Learned] | None = None

    def init(self, model: Any, source: Source, rng: torch.Generator) -> Learned:
        state = self.inner.init(model, source, rng)
        return state if self.begin is None else self.begin(self.inner, state)

    def step(self, state: Learned, batch: Batch) -> Learned:
        if self.before_step is not None:
            self.before_step(state, batch)
        return self.inner.step(state, batch)

    def measure(self, state: Learned, batch: Batch | None) -> Mapping[str, float]:
        if self.on_measure is not None:
            self.on_measure(self.inner, state, batch)
        return self.inner.measure(state, batch)

    def save(self, state: Learned) -> dict[str, Any]:
        saved = self.inner.save(state)
        return saved if self.on_save is None else self.on_save(state, saved)

    def load(self, state: Learned, saved: Mapping[str, Any]) -> Learned:
        fresh = copy.deepcopy(state.optimiser.state_dict())
        loaded = self.inner.load(state, saved)
        return loaded if self.on_load is None else self.on_load(loaded, fresh, state.rng)


def _without_optimiser(loaded: Learned, fresh: Mapping[str, Any], rng: Tensor) -> Learned:
    loaded.optimiser.load_state_dict(dict(fresh))
    return loaded


def _without_rng(loaded: Learned, fresh: Mapping[str, Any], rng: Tensor) -> Learned:
    return replace(loaded, rng=rng)


def _shared(state: Learned, saved: dict[str, Any]) -> dict[str, Any]:
    return {**saved, "model": state.model.state_dict()}


def _steps_too(learner: Momentum, state: Learned, batch: Batch | None) -> None:
    if batch is not None:
        learner.step(state, batch)


def _writes(state: Learned, batch: Batch) -> None:
    batch["data"].add_(1.0)


_CALLS = itertools.count()


def _unseeded(learner: Momentum, state: Learned) -> Learned:
    rng = torch.Generator().manual_seed(next(_CALLS))
    return replace(state, rng=rng.get_state())


def _points(rows: int = 48) -> dict[str, Tensor]:
    rng = torch.Generator().manual_seed(4)
    points = torch.randn(rows, 2, dtype=torch.float64, generator=rng)
    return {"data": 0.6 * points + torch.tensor([1.0, -0.5], dtype=torch.float64)}


def _forgetful_source() -> Source:
    calls = itertools.count()

    def source(step: int) -> Batch:
        return Minibatches(tensors=_points(), size=16, seed=next(calls))(step)

    return source


def _example(learner: Any, source: Callable[[], Source] | None = None) -> Any:
    def make() -> list[LearnerExample]:
        given = Minibatches(tensors=_points(), size=16) if source is None else source()
        return [LearnerExample(learner=learner, model=GaussianModel(), source=given, steps=40)]

    return make


def correct() -> Component:
    """The correct learner."""
    return component("learner", "momentum", _example(Momentum()), target=Momentum)


def animals() -> list[Animal]:
    """The wrong learners."""
    inner, sibling = Momentum(), correct()

    def wrong(
        name: str,
        fault: str,
        learner: Any,
        law: str,
        source: Callable[[], Source] | None = None,
    ) -> Animal:
        made = component("learner", name, _example(learner, source), target=Twisted)
        return Animal(fault=fault, component=made, sibling=sibling, caught_by=law)

    return [
        wrong("uphill", "its loss rises", Momentum(rate=-0.002), "loss_falls"),
        wrong(
            "forgets-momentum",
            "does not restore its optimiser",
            Twisted(inner=inner, on_load=_without_optimiser),
            "saves_and_resumes_exactly",
        ),
        wrong(
            "forgets-randomness",
            "does not restore its random numbers",
            Twisted(inner=inner, on_load=_without_rng),
            "saves_and_resumes_exactly",
        ),
        wrong(
            "shares-memory",
            "what it saved goes on changing",
            Twisted(inner=inner, on_save=_shared),
            "saved_state_shares_no_memory",
        ),
        wrong(
            "learns-while-measuring",
            "measuring changes its state",
            Twisted(inner=inner, on_measure=_steps_too),
            "measure_does_not_change_the_state",
        ),
        wrong(
            "unseeded",
            "starts from another seed each time",
            Twisted(inner=inner, begin=_unseeded),
            "same_seed_same_result",
        ),
        wrong(
            "global-learning",
            "draws from the global generator",
            Momentum(source="global"),
            "global_randomness_is_untouched",
        ),
        wrong(
            "writes-to-batch",
            "writes to its batch",
            Twisted(inner=inner, before_step=_writes),
            "batch_is_not_written_to",
        ),
        wrong(
            "forgetful-source",
            "its source gives other batches when asked again",
            inner,
            "source_repeats_itself",
            _forgetful_source,
        ),
    ]
