"""The Loss, Model, Learner and Source interfaces."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from groundstate.energy import Energy
from groundstate.generator import Generator

Batch = Mapping[str, Tensor]
"""Tensors by name, such as `data` and `negatives`."""


@runtime_checkable
class Model(Protocol):
    """Learned potentials: inputs to an energy or a generator. Usually an `nn.Module`."""

    def __call__(self, batch: Batch, /) -> Energy | Generator:
        """The energy (or generator) for the inputs in `batch`."""
        ...


@dataclass(frozen=True, kw_only=True)
class Needs:
    """What a loss must be given.

    Attributes:
        views: what the model's energy must declare.
        keys: what the batch must hold.
    """

    views: tuple[type, ...] = ()
    keys: tuple[str, ...] = ()


@runtime_checkable
class Loss(Protocol):
    """Says how bad a model is on a batch."""

    @property
    def needs(self) -> Needs: ...

    def __call__(
        self, model: Any, batch: Batch, rng: torch.Generator, /
    ) -> dict[str, Float[Tensor, ""]]:
        """Named terms, each a scalar to be lowered; their sum is the loss."""
        ...


@runtime_checkable
class Source(Protocol):
    """Where batches come from: a function of the step, so that resuming is exact."""

    def __call__(self, step: int, /) -> Batch:
        """The batch of that step (0, 1, ...); the same each time it is asked."""
        ...


L = TypeVar("L")


@runtime_checkable
class Learner(Protocol[L]):
    """Improves a model. Its state owns all that changes: modules, optimisers, rng, replay."""

    def init(self, model: Any, source: Source, rng: torch.Generator) -> L:
        """The state before the first step; `source` serves learners that look at data first."""
        ...

    def step(self, state: L, batch: Batch) -> L:
        """The state after learning from one batch."""
        ...

    def measure(self, state: L, batch: Batch | None) -> Mapping[str, float]:
        """Metrics, `loss` among them: on a held-out batch, or (None) of the last step.

        Must not change the state.
        """
        ...

    def save(self, state: L) -> dict[str, Any]:
        """Everything, as what `torch.save` can store; sharing no memory with the state."""
        ...

    def load(self, state: L, saved: Mapping[str, Any]) -> L:
        """The state that was saved; `state` gives the modules to fill."""
        ...


@dataclass(frozen=True, kw_only=True)
class Minibatches:
    """A source that goes through tensors in epochs, each in an own random order.

    Attributes:
        tensors: all with the same first dimension.
        size: rows per batch; the last of an epoch may be smaller.
        seed: of the orders.
    """

    tensors: Batch
    size: int
    seed: int = 0

    def __post_init__(self) -> None:
        lengths = {name: len(tensor) for name, tensor in self.tensors.items()}
        if len(set(lengths.values())) != 1 or 0 in lengths.values():
            raise ValueError(
                f"the tensors of a source must have one common, non-zero length, got {lengths}"
            )
        if self.size < 1:
            raise ValueError(f"size must be at least 1, got {self.size}")

    @property
    def rows(self) -> int:
        return len(next(iter(self.tensors.values())))

    @property
    def batches(self) -> int:
        """Batches in an epoch."""
        return -(-self.rows // self.size)

    def __call__(self, step: int, /) -> Batch:
        epoch, position = divmod(step, self.batches)
        # one generator per epoch makes any step reachable without replaying those before it
        rng = torch.Generator().manual_seed(self.seed * 1_000_003 + epoch)
        order = torch.randperm(self.rows, generator=rng)
        chosen = order[position * self.size : (position + 1) * self.size]
        return {name: tensor[chosen.to(tensor.device)] for name, tensor in self.tensors.items()}
