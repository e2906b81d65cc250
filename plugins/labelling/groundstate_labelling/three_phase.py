"""`learner/three-phase`: the unary stream, then pairwise terms alone, then everything end to end.

Gaussian CRF spec §9.4 (Chandra, Usunier and Kokkinos 2017, §3.3). A phase begins with an optimiser
and a schedule of its own.
"""

import copy
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal, Protocol, runtime_checkable

import torch
from annotated_types import Ge, Gt, Lt
from jaxtyping import UInt8
from torch import Tensor, nn

from groundstate.energy import Energy
from groundstate.learning import Batch, Loss, Source
from groundstate.solver import generator_from
from groundstate_labelling.pairwise_embedding import PairwiseEmbedding


@runtime_checkable
class Staged(Protocol):
    """A model whose unary stream can be trained, and kept, apart from the rest."""

    def unary_stream(self) -> Iterable[nn.Module]:
        """The modules that make the unary scores."""
        ...

    def uncoupled(self, batch: Batch, /) -> Energy:
        """The energy without pairwise terms."""
        ...


@dataclass(frozen=True, kw_only=True)
class ThreePhaseState:
    """Everything that learning changes.

    Attributes:
        model: the module that learns: a copy of the one given.
        optimiser: of the phase, with its moments; None before the first step.
        rng: state of the losses' random numbers.
        steps: steps done, in all phases.
        metrics: of the last step: the phase, the loss and its terms, the rate.
    """

    model: nn.Module
    optimiser: torch.optim.Optimizer | None
    rng: UInt8[Tensor, " bytes"]
    steps: int
    metrics: Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class ThreePhase:
    """Learns the unary stream, then the rest with the unary stream kept, then all.

    Steps after the three phases go on with the last one's smallest rate.

    Attributes:
        loss: lowered in the first and the last phase; in the first of the uncoupled energy.
        pairwise_loss: lowered in the second: "structured" is `loss`, "embedding" is
            `loss/pairwise-embedding`, or one of your own.
        steps: of each phase; 0 skips it.
        rates: of learning, in each phase.
        schedule: "poly" falls as (1 - t / T)^0.9, "step" to a tenth at half time.
        warmup: steps in which each phase's rate rises.
        optimiser: "adamw" or "sgd".
        momentum: of "sgd".
        weight_decay: pull of each parameter towards 0.
        keep_statistics: whether the unary stream's batch normalisation stays in the last phase as
            the first has left it; a batch of a few clips has statistics of its own.
    """

    loss: Loss
    pairwise_loss: Literal["structured", "embedding"] | Loss = "structured"
    steps: tuple[Annotated[int, Ge(0)], Annotated[int, Ge(0)], Annotated[int, Ge(0)]] = (
        1500,
        150,
        300,
    )
    rates: tuple[Annotated[float, Gt(0)], Annotated[float, Gt(0)], Annotated[float, Gt(0)]] = (
        3e-3,
        1e-2,
        5e-4,
    )
    schedule: Literal["poly", "step"] = "poly"
    warmup: Annotated[int, Ge(0)] = 20
    optimiser: Literal["adamw", "sgd"] = "adamw"
    momentum: Annotated[float, Ge(0), Lt(1)] = 0.9
    weight_decay: Annotated[float, Ge(0)] = 0.02
    keep_statistics: bool = True

    def init(self, model: nn.Module, source: Source, rng: torch.Generator) -> ThreePhaseState:
        if not isinstance(model, Staged):
            raise TypeError(
                "the three-phase learner needs a model with `unary_stream` and `uncoupled`; "
                f"{type(model).__name__} has none. Use model/dense-labelling, or learner/gradient"
            )
        own = copy.deepcopy(model)
        if self.steps[1] and not _pairwise(own):
            raise ValueError(
                f"the second phase of {self.steps[1]} steps needs pairwise terms to learn, got a "
                "model without any; set its steps to 0"
            )
        return ThreePhaseState(model=own, optimiser=None, rng=rng.get_state(), steps=0, metrics={})

    def step(self, state: ThreePhaseState, batch: Batch) -> ThreePhaseState:
        phase, done = self.phase(state.steps)
        optimiser = state.optimiser
        if optimiser is None or done == 0:
            optimiser = self._make(state.model, phase)
        share = self._share(phase, done)
        for group in optimiser.param_groups:
            group["lr"] = group["initial_lr"] * share
        self._set_mode(state.model, phase)
        rng = generator_from(state.rng, torch.device("cpu"))
        with torch.enable_grad():
            terms = self._terms(state.model, batch, rng, phase)
            total = torch.stack(list(terms.values())).sum()
            parameters = [each for group in optimiser.param_groups for each in group["params"]]
            # only these: the gradient of a stream that is kept would be computed in vain
            gradients = torch.autograd.grad(total, parameters, allow_unused=True)
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = gradient
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        metrics = {**_numbers(terms), "phase": float(phase + 1), "rate": self.rates[phase] * share}
        return replace(
            state,
            optimiser=optimiser,
            rng=rng.get_state(),
            steps=state.steps + 1,
            metrics=metrics,
        )

    def measure(self, state: ThreePhaseState, batch: Batch | None) -> Mapping[str, float]:
        """Always of the whole model, whatever the phase, so that phases can be compared."""
        if batch is None:
            return state.metrics
        training = {module: module.training for module in state.model.modules()}
        state.model.eval()
        with torch.no_grad():
            rng = generator_from(state.rng, torch.device("cpu"))
            found = _numbers(self.loss(state.model, batch, rng))
        for module, mode in training.items():
            module.training = mode
        return found

    def save(self, state: ThreePhaseState) -> dict[str, Any]:
        return copy.deepcopy(
            {
                "model": state.model.state_dict(),
                "optimiser": None if state.optimiser is None else state.optimiser.state_dict(),
                "rng": state.rng,
                "steps": state.steps,
                "metrics": dict(state.metrics),
            }
        )

    def load(self, state: ThreePhaseState, saved: Mapping[str, Any]) -> ThreePhaseState:
        saved = copy.deepcopy(dict(saved))
        state.model.load_state_dict(saved["model"])
        optimiser = None
        if saved["optimiser"] is not None:
            optimiser = self._make(state.model, self.phase(saved["steps"] - 1)[0])
            optimiser.load_state_dict(saved["optimiser"])
        return replace(
            state,
            optimiser=optimiser,
            rng=saved["rng"],
            steps=saved["steps"],
            metrics=saved["metrics"],
        )

    def phase(self, step: int) -> tuple[int, int]:
        """Which phase a step belongs to, 0 to 2, and how many of its steps came before."""
        before = 0
        for phase, length in enumerate(self.steps):
            if step < before + length:
                return phase, step - before
            before += length
        last = max((k for k in range(3) if self.steps[k]), default=2)
        return last, step - before + self.steps[last]

    def _share(self, phase: int, done: int) -> float:
        length = max(self.steps[phase], 1)
        passed = min(done, length - 1) / length
        rise = min(1.0, (done + 1) / (self.warmup + 1))
        if self.schedule == "step":
            return rise * (0.1 if passed >= 0.5 else 1.0)
        return rise * (1 - passed) ** 0.9

    def _terms(
        self, model: nn.Module, batch: Batch, rng: torch.Generator, phase: int
    ) -> dict[str, Tensor]:
        assert isinstance(model, Staged)
        if phase == 0:
            return self.loss(model.uncoupled, batch, rng)
        if phase == 2 or self.pairwise_loss == "structured":
            return self.loss(model, batch, rng)
        loss = PairwiseEmbedding() if isinstance(self.pairwise_loss, str) else self.pairwise_loss
        return loss(model, batch, rng)

    def _set_mode(self, model: nn.Module, phase: int) -> None:
        """Training, except that a stream which is kept keeps its statistics, too."""
        model.train()
        if phase == 1 or (phase == 2 and self.keep_statistics):
            assert isinstance(model, Staged)
            for module in model.unary_stream():
                module.eval()

    def _make(self, model: nn.Module, phase: int) -> torch.optim.Optimizer:
        groups: list[dict[str, Any]] = []
        if phase != 1:
            groups.append({"params": _unary(model), "initial_lr": self.rates[phase]})
        if phase != 0 and _pairwise(model):
            groups.append({"params": _pairwise(model), "initial_lr": self.rates[phase]})
        rate, decay = self.rates[phase], self.weight_decay
        if self.optimiser == "adamw":
            return torch.optim.AdamW(groups, lr=rate, weight_decay=decay)
        return torch.optim.SGD(groups, lr=rate, momentum=self.momentum, weight_decay=decay)


def _unary(model: nn.Module) -> list[nn.Parameter]:
    assert isinstance(model, Staged)
    return [each for module in model.unary_stream() for each in module.parameters()]


def _pairwise(model: nn.Module) -> list[nn.Parameter]:
    unary = {id(each) for each in _unary(model)}
    return [p for p in model.parameters() if p.requires_grad and id(p) not in unary]


def _numbers(terms: Mapping[str, Tensor]) -> dict[str, float]:
    numbers = {name: float(term.detach()) for name, term in terms.items()}
    return {**numbers, "loss": sum(numbers.values())}
