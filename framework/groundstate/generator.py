"""The Generator interface, and samplers as generators."""

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from groundstate.energy import Energy
from groundstate.solver import Deadline, Solver


@runtime_checkable
class Generator(Protocol):
    """Makes configurations at random."""

    @property
    def reparametrised(self) -> bool:
        """Whether samples carry gradients to the generator's parameters."""
        ...

    def sample(
        self, n: int, condition: Shaped[Tensor, "..."] | None, rng: torch.Generator
    ) -> Shaped[Tensor, "n *shape"]:
        """`n` samples; `condition` is what they depend on, None for generators without one."""
        ...


@runtime_checkable
class DensityGenerator(Generator, Protocol):
    """A generator that knows its density exactly."""

    def log_prob(
        self, x: Shaped[Tensor, "..."], condition: Shaped[Tensor, "..."] | None
    ) -> Float[Tensor, "..."]:
        """The log density in nats, one number per configuration."""
        ...

    def sample_with_log_prob(
        self, n: int, condition: Shaped[Tensor, "..."] | None, rng: torch.Generator
    ) -> tuple[Shaped[Tensor, "n *shape"], Float[Tensor, "n *batch"]]:
        """Samples and their log density; both carry gradients where `reparametrised`."""
        ...


@runtime_checkable
class BoundedGenerator(Generator, Protocol):
    """A generator that knows only a lower bound on its density (VAE, diffusion)."""

    def log_prob_bound(
        self,
        x: Shaped[Tensor, "..."],
        condition: Shaped[Tensor, "..."] | None,
        rng: torch.Generator,
    ) -> Float[Tensor, "..."]:
        """A lower bound on log p(x), in nats: never to be taken for `log_prob`."""
        ...


@dataclass(frozen=True, kw_only=True)
class Chain:
    """Samples from p(x) ∝ exp(-E(x)) by running a sampler.

    Attributes:
        energy: what to sample from.
        sampler: a solver whose steps leave p invariant.
        burn_in: steps to drop before the first sample.
        thin: steps between samples.
    """

    energy: Energy
    sampler: Solver[Any]
    burn_in: int = 100
    thin: int = 1

    def __post_init__(self) -> None:
        if self.burn_in < 0 or self.thin < 1:
            raise ValueError(
                f"burn_in must be at least 0 and thin at least 1, got {self.burn_in}, {self.thin}"
            )

    @property
    def reparametrised(self) -> bool:
        return False

    @torch.no_grad()
    def sample(
        self, n: int, condition: Shaped[Tensor, "..."] | None, rng: torch.Generator
    ) -> Shaped[Tensor, "n *shape"]:
        if condition is not None:
            raise ValueError("a chain has no condition: build its energy for the condition instead")
        state = self.sampler.init(self.energy, None, rng)
        forever = Deadline()
        samples: list[Tensor] = []
        for _ in range(self.burn_in):
            state = self.sampler.step(self.energy, state, forever)
        while len(samples) < n:
            for _ in range(self.thin):
                state = self.sampler.step(self.energy, state, forever)
            samples.append(state.x)
        if samples:
            return torch.stack(samples)
        return state.x.new_empty((0, *state.x.shape))


def chain(energy: Energy, sampler: Solver[Any], *, burn_in: int = 100, thin: int = 1) -> Chain:
    """The generator that runs `sampler` on `energy`; see `Chain`."""
    return Chain(energy=energy, sampler=sampler, burn_in=burn_in, thin=thin)
