"""`learner/gradient`: descent on a loss with Adam or SGD."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

import torch
from annotated_types import Ge, Gt, Lt
from jaxtyping import UInt8
from torch import Tensor, nn

from groundstate.learning import Batch, Loss, Source
from groundstate.solver import generator_from


@dataclass(frozen=True, kw_only=True)
class GradientState:
    """Everything that learning changes.

    Attributes:
        model: the module that learns: a copy of the one given.
        optimiser: its optimiser, with its moments.
        rng: state of the loss's random numbers.
        steps: steps done.
        metrics: the loss, its terms and the gradient's norm at the last step.
    """

    model: nn.Module
    optimiser: torch.optim.Optimizer
    rng: UInt8[Tensor, " bytes"]
    steps: int
    metrics: Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class GradientLearner:
    """Lowers a loss batch by batch; the model it is given stays as it is.

    Attributes:
        loss: what to lower.
        optimiser: "adam" or "sgd".
        learning_rate: step size.
        momentum: of "sgd".
        weight_decay: pull of each parameter towards 0 (decoupled, as in AdamW, for "adam").
        clip: largest norm of the whole gradient; None does not clip.
    """

    loss: Loss
    optimiser: Literal["adam", "sgd"] = "adam"
    learning_rate: Annotated[float, Gt(0)] = 0.01
    momentum: Annotated[float, Ge(0), Lt(1)] = 0.9
    weight_decay: Annotated[float, Ge(0)] = 0.0
    clip: Annotated[float, Gt(0)] | None = None

    def init(self, model: nn.Module, source: Source, rng: torch.Generator) -> GradientState:
        own = copy.deepcopy(model)
        if not any(parameter.requires_grad for parameter in own.parameters()):
            raise ValueError(
                f"a model must have parameters to learn; {type(model).__name__} has none that "
                "requires a gradient"
            )
        return GradientState(
            model=own, optimiser=self._make(own), rng=rng.get_state(), steps=0, metrics={}
        )

    def step(self, state: GradientState, batch: Batch) -> GradientState:
        rng = generator_from(state.rng, torch.device("cpu"))
        with torch.enable_grad():
            terms = self.loss(state.model, batch, rng)
            total = torch.stack(list(terms.values())).sum()
            state.optimiser.zero_grad(set_to_none=True)
            total.backward()
        parameters = [each for each in state.model.parameters() if each.grad is not None]
        limit = float("inf") if self.clip is None else self.clip
        norm = torch.nn.utils.clip_grad_norm_(parameters, limit)
        state.optimiser.step()
        metrics = {**_numbers(terms), "gradient-norm": float(norm)}
        return replace(state, rng=rng.get_state(), steps=state.steps + 1, metrics=metrics)

    def measure(self, state: GradientState, batch: Batch | None) -> Mapping[str, float]:
        if batch is None:
            return state.metrics
        with torch.no_grad():
            rng = generator_from(state.rng, torch.device("cpu"))
            return _numbers(self.loss(state.model, batch, rng))

    def save(self, state: GradientState) -> dict[str, Any]:
        return copy.deepcopy(
            {
                "model": state.model.state_dict(),
                "optimiser": state.optimiser.state_dict(),
                "rng": state.rng,
                "steps": state.steps,
                "metrics": dict(state.metrics),
            }
        )

    def load(self, state: GradientState, saved: Mapping[str, Any]) -> GradientState:
        saved = copy.deepcopy(dict(saved))
        state.model.load_state_dict(saved["model"])
        state.optimiser.load_state_dict(saved["optimiser"])
        return replace(state, rng=saved["rng"], steps=saved["steps"], metrics=saved["metrics"])

    def _make(self, model: nn.Module) -> torch.optim.Optimizer:
        parameters = [each for each in model.parameters() if each.requires_grad]
        rate, decay = self.learning_rate, self.weight_decay
        if self.optimiser == "adam":
            return torch.optim.AdamW(parameters, lr=rate, weight_decay=decay)
        return torch.optim.SGD(parameters, lr=rate, momentum=self.momentum, weight_decay=decay)


def _numbers(terms: Mapping[str, Tensor]) -> dict[str, float]:
    numbers = {name: float(term.detach()) for name, term in terms.items()}
    return {**numbers, "loss": sum(numbers.values())}
