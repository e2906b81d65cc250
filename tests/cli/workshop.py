"""A plugin in one local file, for tests of the command line: everything small and known."""

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

import torch
from annotated_types import Ge, Gt
from torch import Tensor, nn

from groundstate import Component, hookimpl
from groundstate.energy import Energy, QuadraticEnergy, view
from groundstate.learning import Batch, Loss, Source
from groundstate.solver import Deadline, State, generator_from
from groundstate.space import Real
from groundstate.status import Status
from groundstate.views import Quadratic

F64 = torch.float64


def diagonal(a: Tensor, b: Tensor) -> QuadraticEnergy:
    """½ Σ a x² - Σ b x."""
    return QuadraticEnergy(
        quadratic=Quadratic(
            matvec=lambda x: a * x, linear=b, constant=b.new_zeros(()), diagonal=a.expand_as(b)
        ),
        space=Real(event_shape=tuple(b.shape), dtype=b.dtype),
    )


def bowl(target: Tensor, stiffness: Annotated[float, Gt(0.0)] = 1.0) -> QuadraticEnergy:
    """Lowest at the target."""
    a = torch.linspace(1.0, 2.0, target.numel(), dtype=F64) * stiffness
    return diagonal(a, a * target)


@dataclass(frozen=True, kw_only=True)
class Dots:
    """A row of numbers as a grey picture."""

    size: Annotated[int, Ge(1)] = 4
    drawable: bool = True

    def load(self) -> Mapping[str, object]:
        return {"target": torch.linspace(0.0, 1.0, self.size, dtype=F64)}

    def pictures(self, outputs: Mapping[str, object], x: Tensor | None) -> Mapping[str, Tensor]:
        if x is not None and not self.drawable:
            raise ValueError("this cannot be drawn")
        row = outputs["target"] if x is None else x
        assert isinstance(row, Tensor)
        grey = (row.clamp(0, 1) * 255).to(torch.uint8)
        return {"row": grey[None, :, None].expand(1, -1, 3).contiguous()}


@dataclass(frozen=True, kw_only=True)
class Wander:
    """Gradient descent with noise: never done, and repeatable only with its seed and steps.

    Attributes:
        rate: of a step.
        sleep: seconds that each step takes.
        fault: what it does wrong, from its third step on.
        init_sleep: seconds that the start takes.
        sweep: how many moves a step makes, looking at the deadline after each.
    """

    rate: Annotated[float, Gt(0.0)] = 0.1
    sleep: Annotated[float, Ge(0.0)] = 0.0
    fault: Literal["none", "raises", "exits", "lies", "diverges"] = "none"
    init_sleep: float = 0.0
    sweep: Annotated[int, Ge(1)] = 1

    def init(self, energy: Energy, x0: Tensor | None, rng: torch.Generator) -> State:
        time.sleep(self.init_sleep)
        b = view(energy, Quadratic).linear
        x = torch.zeros_like(b) if x0 is None else x0
        return State(x=x, rng=rng.get_state(), stats={"steps": 0})

    def step(self, energy: Energy, state: State, deadline: Deadline) -> State:
        assert state.rng is not None
        time.sleep(self.sleep)
        rng = generator_from(state.rng, torch.device("cpu"))
        quadratic = view(energy, Quadratic)
        noise = 0.01 * torch.randn(state.x.shape, generator=rng, dtype=F64)
        x = state.x
        for _ in range(self.sweep):
            x = x - self.rate * (quadratic.matvec(x) - quadratic.linear) + noise
            if deadline.passed:
                break
        done = int(state.stats["steps"]) + 1
        moved = replace(state, x=x, rng=rng.get_state(), stats={"steps": done})
        if done < 3:
            return moved
        match self.fault:
            case "raises":
                raise ZeroDivisionError("the third step divides by zero")
            case "exits":
                raise RuntimeError
            case "lies":
                return replace(moved, energy=energy(x) - 1.0)
            case "diverges":
                return replace(moved, x=x * float("inf"))
            case "none":
                return moved

    def status(self, state: State) -> Tensor:
        return torch.tensor(int(Status.RUNNING))


def picky(energy: Energy) -> Wander:
    """A solver whose making fails."""
    raise ValueError("`energy` has the wrong colour")


@dataclass(frozen=True, kw_only=True)
class Distance:
    """How far from the target."""

    target: Tensor
    broken: bool = False

    @property
    def higher_is_better(self) -> bool:
        return False

    def __call__(self, x: Tensor, /) -> Tensor:
        if self.broken:
            raise ValueError("it measures nothing")
        return (x - self.target).abs().amax(-1)


class Slope(nn.Module):
    """The energy (x - weight)² / 2 per entry, with the weight to learn."""

    def __init__(self, size: int = 4) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(size, dtype=F64))

    def forward(self, batch: Batch) -> QuadraticEnergy:
        return diagonal(torch.ones_like(self.weight), self.weight)


@dataclass(frozen=True, kw_only=True)
class Means:
    """Data around a mean, as batches."""

    size: int = 4
    poison: int = -1
    sleep: float = 0.0

    def load(self) -> Mapping[str, object]:
        mean = torch.arange(self.size, dtype=F64)

        def source(step: int) -> Batch:
            time.sleep(self.sleep)
            rng = torch.Generator().manual_seed(step)
            data = mean + 0.1 * torch.randn(8, self.size, generator=rng, dtype=F64)
            return {"data": data * (float("nan") if step == self.poison else 1.0)}

        return {"source": source, "validation": (source(10_000),)}

    def pictures(self, outputs: Mapping[str, object], x: Tensor | None) -> Mapping[str, Tensor]:
        return {}


@dataclass(frozen=True, kw_only=True)
class Square:
    """Mean squared distance to the model's minimum."""

    def __call__(self, model: Any, batch: Batch, rng: torch.Generator, /) -> dict[str, Tensor]:
        return {"square": ((batch["data"] - model.weight) ** 2).mean()}


@dataclass(frozen=True, kw_only=True)
class Lesson:
    """What `Descend` changes."""

    model: Any
    loss: float


@dataclass(frozen=True, kw_only=True)
class Descend:
    """Plain gradient descent on a loss."""

    loss: Loss
    rate: Annotated[float, Gt(0.0)] = 0.1

    def init(self, model: Any, source: Source, rng: torch.Generator) -> Lesson:
        return Lesson(model=model, loss=float("inf"))

    def step(self, state: Lesson, batch: Batch) -> Lesson:
        loss = self.loss(state.model, batch, torch.Generator())["square"]
        parameters = list(state.model.parameters())
        with torch.no_grad():
            for parameter, grad in zip(
                parameters, torch.autograd.grad(loss, parameters), strict=True
            ):
                parameter -= self.rate * grad
        return Lesson(model=state.model, loss=float(loss.detach()))

    def measure(self, state: Lesson, batch: Batch | None) -> Mapping[str, float]:
        if batch is None:
            return {"loss": state.loss}
        with torch.no_grad():
            return {"loss": float(self.loss(state.model, batch, torch.Generator())["square"])}

    def save(self, state: Lesson) -> dict[str, Any]:
        model = {name: value.clone() for name, value in state.model.state_dict().items()}
        return {"model": model, "loss": state.loss}

    def load(self, state: Lesson, saved: Mapping[str, Any]) -> Lesson:
        state.model.load_state_dict(saved["model"])
        return Lesson(model=state.model, loss=saved["loss"])


@dataclass(frozen=True, kw_only=True)
class Exact:
    """Samples of a Gaussian whose matrix is diagonal."""

    energy: Energy

    @property
    def reparametrised(self) -> bool:
        return False

    def sample(self, n: int, condition: Tensor | None, rng: torch.Generator) -> Tensor:
        quadratic = view(self.energy, Quadratic)
        shape = (n, *quadratic.linear.shape)
        noise = torch.randn(shape, generator=rng, dtype=F64) / quadratic.diagonal.sqrt()
        return (quadratic.linear / quadratic.diagonal + noise).detach()


def none() -> list[object]:
    """Examples are not what is tested here."""
    return [object()]


@hookimpl
def groundstate_components() -> Iterable[Component]:
    """What this file offers."""
    for key, target, more in (
        ("dataset/dots", Dots, {"gives": ("target",)}),
        ("dataset/means", Means, {"gives": ("source", "validation")}),
        ("energy/bowl", bowl, {"gives": ("Quadratic",)}),
        ("solver/wander", Wander, {"needs": ("Quadratic",)}),
        ("solver/picky", picky, {"needs": ("Quadratic",)}),
        ("solver/labels", Wander, {"needs": ("FactorGraph",)}),
        ("metric/distance", Distance, {}),
        ("model/slope", Slope, {"gives": ("Quadratic",)}),
        ("loss/square", Square, {}),
        ("learner/descend", Descend, {}),
        ("generator/exact", Exact, {"needs": ("Quadratic",)}),
    ):
        kind, name = key.split("/")
        views: dict[str, Any] = dict(more)
        yield Component(
            kind=kind,
            name=name,
            target=target,
            summary=f"{name}, for tests",
            examples=none,
            **views,
        )
