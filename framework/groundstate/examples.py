"""What a component's `examples` function returns where an instance alone cannot be tested."""

from dataclasses import dataclass
from typing import Any

from jaxtyping import Float, Shaped
from torch import Tensor

from groundstate.data import Metric, Reader
from groundstate.energy import Energy
from groundstate.generator import Generator
from groundstate.learning import Batch, Learner, Loss, Model, Source


@dataclass(frozen=True, kw_only=True)
class LossExample:
    """A loss, and something small to apply it to."""

    loss: Loss
    model: Any
    batch: Batch


@dataclass(frozen=True, kw_only=True)
class GeneratorExample:
    """A generator, what its samples depend on, and the density that they must follow.

    Attributes:
        generator: the generator.
        condition: passed to `sample`; None for generators without one.
        energy: samples follow p(x) ∝ exp(-E(x)); None where no energy is known. A component that
            claims "exact" is tried against it.
    """

    generator: Generator
    condition: Shaped[Tensor, "..."] | None = None
    energy: Energy | None = None


@dataclass(frozen=True, kw_only=True)
class LearnerExample:
    """A learner, and a small problem on which its loss falls within `steps`."""

    learner: Learner[Any]
    model: Any
    source: Source
    steps: int = 20


@dataclass(frozen=True, kw_only=True)
class ModelExample:
    """A model and its inputs."""

    model: Model
    batch: Batch


@dataclass(frozen=True, kw_only=True)
class MetricExample:
    """A metric, a configuration and the value it must get."""

    metric: Metric
    x: Shaped[Tensor, "..."]
    expected: Float[Tensor, "*batch"]


@dataclass(frozen=True, kw_only=True)
class ReaderExample:
    """A reader, and a problem that its format can hold."""

    reader: Reader
    energy: Energy
