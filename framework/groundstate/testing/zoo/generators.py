"""Wrong generators, made from a Gaussian."""

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from groundstate.component import Component
from groundstate.examples import GeneratorExample
from groundstate.testing.problems.quadratic import DenseQuadratic, quadratic
from groundstate.testing.zoo.animal import Animal, component


@dataclass(frozen=True, kw_only=True)
class Normal:
    """Independent normal numbers; the condition, where there is one, is added to the mean.

    Attributes:
        mean: of each number.
        scale: standard deviation of each number.
        reparametrised: whether samples carry gradients.
    """

    mean: Float[Tensor, " event"]
    scale: Float[Tensor, " event"]
    reparametrised: bool = True

    def sample(
        self, n: int, condition: Float[Tensor, " event"] | None, rng: torch.Generator
    ) -> Float[Tensor, "n event"]:
        noise = torch.randn(n, *self.mean.shape, dtype=self.mean.dtype, generator=rng)
        x = self._centre(condition) + self.scale * noise
        return x if self.reparametrised else x.detach()

    def log_prob(
        self, x: Float[Tensor, "*sample event"], condition: Float[Tensor, " event"] | None
    ) -> Float[Tensor, "*sample"]:
        rest = (x - self._centre(condition)) / self.scale
        each = -0.5 * rest**2 - self.scale.log() - 0.5 * math.log(2 * math.pi)
        return each.sum(-1)

    def sample_with_log_prob(
        self, n: int, condition: Float[Tensor, " event"] | None, rng: torch.Generator
    ) -> tuple[Float[Tensor, "n event"], Float[Tensor, " n"]]:
        x = self.sample(n, condition, rng)
        return x, self.log_prob(x, condition)

    def _centre(self, condition: Tensor | None) -> Tensor:
        return self.mean if condition is None else self.mean + condition


def normal() -> Normal:
    """Two numbers."""
    mean = torch.tensor([0.5, -1.0], dtype=torch.float64)
    return Normal(mean=mean, scale=torch.tensor([0.7, 1.3], dtype=torch.float64))


def energy() -> DenseQuadratic:
    """The energy whose density `normal` has."""
    made = normal()
    precision = made.scale**-2
    return quadratic(torch.diag(precision), precision * made.mean)


Draw = Callable[[Normal, int, Tensor | None, torch.Generator], Tensor]
Weigh = Callable[[Normal, Tensor, Tensor | None], Tensor]


def _drawn(
    inner: Normal, n: int, condition: Tensor | None, rng: torch.Generator
) -> Float[Tensor, "..."]:
    return inner.sample(n, condition, rng)


def _weighed(inner: Normal, x: Tensor, condition: Tensor | None) -> Float[Tensor, "..."]:
    return inner.log_prob(x, condition)


@dataclass(frozen=True, kw_only=True)
class Twisted:
    """A normal generator with something changed."""

    inner: Normal
    draw: Draw = _drawn
    weigh: Weigh = _weighed
    paired: Weigh | None = None

    @property
    def reparametrised(self) -> bool:
        return self.inner.reparametrised

    def sample(self, n: int, condition: Tensor | None, rng: torch.Generator) -> Tensor:
        return self.draw(self.inner, n, condition, rng)

    def log_prob(self, x: Tensor, condition: Tensor | None) -> Tensor:
        return self.weigh(self.inner, x, condition)

    def sample_with_log_prob(
        self, n: int, condition: Tensor | None, rng: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        x = self.sample(n, condition, rng)
        weigh = self.weigh if self.paired is None else self.paired
        return x, weigh(self.inner, x, condition)


class Both(Twisted):
    """Has a bound on its density besides the density."""

    def log_prob_bound(
        self, x: Tensor, condition: Tensor | None, rng: torch.Generator
    ) -> Float[Tensor, "..."]:
        return self.log_prob(x, condition) - 1


_CALLS = itertools.count()


def _detached(inner: Normal, n: int, condition: Tensor | None, rng: torch.Generator) -> Tensor:
    return inner.sample(n, condition, rng).detach()


def _half_gradient(inner: Normal, n: int, condition: Tensor | None, rng: torch.Generator) -> Tensor:
    return replace(inner, scale=inner.scale.detach()).sample(n, condition, rng)


def _with_gradient(inner: Normal, n: int, condition: Tensor | None, rng: torch.Generator) -> Tensor:
    return replace(inner, reparametrised=True).sample(n, condition, rng)


def _squeezed(inner: Normal, n: int, condition: Tensor | None, rng: torch.Generator) -> Tensor:
    return inner.sample(n, condition, rng).squeeze(0)


def _repeated(inner: Normal, n: int, condition: Tensor | None, rng: torch.Generator) -> Tensor:
    x = inner.sample(n, condition, rng)
    return x[:1].expand_as(x)


def _global(inner: Normal, n: int, condition: Tensor | None, rng: torch.Generator) -> Tensor:
    seed = int(torch.randint(1 << 30, ()))
    return inner.sample(n, condition, torch.Generator().manual_seed(seed))


def _fresh(inner: Normal, n: int, condition: Tensor | None, rng: torch.Generator) -> Tensor:
    return inner.sample(n, condition, torch.Generator().manual_seed(next(_CALLS)))


def _wide(inner: Normal, n: int, condition: Tensor | None, rng: torch.Generator) -> Tensor:
    return replace(inner, scale=1.5 * inner.scale).sample(n, condition, rng)


def _writes(inner: Normal, n: int, condition: Tensor | None, rng: torch.Generator) -> Tensor:
    x = inner.sample(n, condition, rng)
    if condition is not None:
        condition.zero_()
    return x


def _unnormalised(inner: Normal, x: Tensor, condition: Tensor | None) -> Tensor:
    return inner.log_prob(x, condition) + inner.scale.log().sum() - 0.5


def _negative(inner: Normal, x: Tensor, condition: Tensor | None) -> Tensor:
    return -inner.log_prob(x, condition)


def _examples(generator: Any) -> Callable[[], list[GeneratorExample]]:
    def make() -> list[GeneratorExample]:
        condition = torch.ones(2, dtype=torch.float64)
        return [
            GeneratorExample(generator=generator, energy=energy()),
            GeneratorExample(generator=generator, condition=condition, energy=_moved(condition)),
        ]

    return make


def _moved(condition: Tensor) -> DenseQuadratic:
    made = normal()
    precision = made.scale**-2
    return quadratic(torch.diag(precision), precision * (made.mean + condition))


def correct() -> Component:
    """The correct generator."""
    return component("generator", "normal", _examples(normal()), target=Normal, claims=("exact",))


def animals() -> list[Animal]:
    """The wrong generators."""
    made, sibling = normal(), correct()
    plain = replace(made, reparametrised=False)

    def wrong(name: str, fault: str, generator: Any, law: str) -> Animal:
        return Animal(
            fault=fault,
            component=component(
                "generator",
                name,
                _examples(generator),
                target=Twisted,
                claims=sibling.claims,
            ),
            sibling=sibling,
            caught_by=law,
        )

    return [
        wrong(
            "claims-gradients",
            "says that samples carry gradients, and detaches them",
            Twisted(inner=made, draw=_detached),
            "reparametrised_is_true",
        ),
        wrong(
            "half-gradient",
            "its samples carry only part of their gradient",
            Twisted(inner=made, draw=_half_gradient),
            "reparametrised_is_true",
        ),
        wrong(
            "conceals-gradients",
            "says that samples carry no gradients, and they do",
            Twisted(inner=plain, draw=_with_gradient),
            "reparametrised_is_true",
        ),
        wrong(
            "squeezed",
            "drops the sample dimension of one sample",
            Twisted(inner=made, draw=_squeezed),
            "samples_have_one_shape",
        ),
        wrong(
            "repeated",
            "gives one sample n times",
            Twisted(inner=made, draw=_repeated),
            "samples_differ",
        ),
        wrong(
            "global-samples",
            "draws from the global generator",
            Twisted(inner=made, draw=_global),
            "global_randomness_is_untouched",
        ),
        wrong(
            "fresh-samples",
            "draws another seed each time",
            Twisted(inner=made, draw=_fresh),
            "same_rng_same_samples",
        ),
        wrong(
            "wide",
            "samples a wider density than that of its energy",
            Twisted(inner=made, draw=_wide),
            "samples_follow_the_energy",
        ),
        wrong(
            "other-density",
            "is not of the density that it claims",
            Twisted(inner=made, draw=_wide),
            "density_is_that_of_the_samples",
        ),
        wrong(
            "unnormalised-density",
            "its density does not integrate to one",
            Twisted(inner=made, weigh=_unnormalised),
            "density_is_that_of_the_samples",
        ),
        wrong(
            "mismatched",
            "gives samples with the log density of the wrong sign",
            Twisted(inner=made, paired=_negative),
            "log_prob_belongs_to_the_sample",
        ),
        wrong(
            "writes-to-condition",
            "writes to its condition",
            Twisted(inner=made, draw=_writes),
            "sampling_writes_to_nothing",
        ),
        wrong(
            "both-densities",
            "has both a density and a bound on it",
            Both(inner=made),
            "bound_is_given_as_a_bound",
        ),
    ]
