"""Wrong losses, made from two correct ones."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from groundstate.component import Component
from groundstate.energy import Energy, view
from groundstate.examples import LossExample
from groundstate.learning import Batch, Needs
from groundstate.space import Real
from groundstate.testing.problems.quadratic import DenseQuadratic
from groundstate.testing.trees import generator
from groundstate.testing.zoo.animal import Animal, component
from groundstate.views import Quadratic, Score


class GaussianModel(nn.Module):
    """A quadratic energy in two variables, whose matrix and linear term are learned."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        noise = 0.1 * torch.randn(4, dtype=torch.float64, generator=generator(seed))
        self.log_diagonal = nn.Parameter(noise[:2])
        self.linear = nn.Parameter(noise[2:])

    def forward(self, batch: Batch) -> DenseQuadratic:
        return DenseQuadratic(
            matrix=torch.diag(self.log_diagonal.exp()),
            linear=self.linear,
            constant=self.linear.new_zeros(()),
            space=Real(event_shape=(2,), dtype=self.linear.dtype),
        )


def data(rows: int = 64) -> dict[str, Tensor]:
    """Draws from a standard normal, close to what `GaussianModel` starts as, and a mask."""
    rng = generator(3)
    points = torch.randn(rows, 2, dtype=torch.float64, generator=rng)
    mask = (torch.rand(rows, generator=rng) < 0.8).double()
    return {"data": points, "mask": mask, "other": torch.ones(rows, dtype=torch.float64)}


@dataclass(frozen=True, kw_only=True)
class ScoreMatching:
    """Hyvärinen's loss ½‖∇E‖² - tr ∇²E of a quadratic energy, mean over the rows of the mask.

    Attributes:
        needs: what it asks for.
    """

    needs: Needs = Needs(views=(Quadratic,), keys=("data", "mask"))  # noqa: RUF009 - it is frozen

    def __call__(
        self, model: Any, batch: Batch, rng: torch.Generator, /
    ) -> dict[str, Float[Tensor, ""]]:
        quadratic = view(model(batch), Quadratic)
        slope = quadratic.matvec(batch["data"]) - quadratic.linear
        rows = 0.5 * (slope**2).sum(-1) - quadratic.diagonal.sum()
        return {"score": (batch["mask"] * rows).sum() / batch["mask"].sum()}


@dataclass(frozen=True, kw_only=True)
class Denoising:
    """Denoising score matching: the score at noisy data points back to the data.

    Attributes:
        noise: standard deviation, in the units of the data.
        source: where its random numbers come from.
        needs: what it asks for.
    """

    noise: float = 0.3
    source: str = "given"
    needs: Needs = Needs(views=(Quadratic,), keys=("data",))  # noqa: RUF009 - it is frozen

    def __call__(
        self, model: Any, batch: Batch, rng: torch.Generator, /
    ) -> dict[str, Float[Tensor, ""]]:
        quadratic, points = view(model(batch), Quadratic), batch["data"]
        if self.source == "fresh":
            rng = torch.Generator().manual_seed(next(_CALLS))
        given = None if self.source == "global" else rng
        noise = torch.randn(points.shape, dtype=points.dtype, generator=given)
        slope = quadratic.matvec(points + self.noise * noise) - quadratic.linear
        return {"denoising": 0.5 * ((slope - noise / self.noise) ** 2).sum(-1).mean()}


_CALLS = itertools.count()
Terms = dict[str, Tensor]


@dataclass(frozen=True, kw_only=True)
class Twisted:
    """A correct loss with something changed."""

    inner: Any
    change: Callable[[Terms, Any, Batch], Terms]
    needs: Needs

    def __call__(self, model: Any, batch: Batch, rng: torch.Generator, /) -> Terms:
        return self.change(self.inner(model, batch, rng), model, batch)


def _negated(terms: Terms, model: Any, batch: Batch) -> Terms:
    return {name: -term for name, term in terms.items()}


def _summed(terms: Terms, model: Any, batch: Batch) -> Terms:
    return {name: term * len(batch["data"]) for name, term in terms.items()}


def _detached(terms: Terms, model: Any, batch: Batch) -> Terms:
    quadratic = view(model(batch), Quadratic)
    return {name: term.detach() + 0 * quadratic.linear.sum() for name, term in terms.items()}


def _per_row(terms: Terms, model: Any, batch: Batch) -> Terms:
    return {name: term * torch.ones_like(batch["mask"]) for name, term in terms.items()}


def _writes(terms: Terms, model: Any, batch: Batch) -> Terms:
    batch["data"].mul_(0.5)
    return terms


def _reads_other(terms: Terms, model: Any, batch: Batch) -> Terms:
    return {name: term * batch["other"].mean() for name, term in terms.items()}


def _of_the_constant(terms: Terms, model: Any, batch: Batch) -> Terms:
    return {**terms, "energy": model(batch)(batch["data"]).mean()}


def _steps_itself(terms: Terms, model: Any, batch: Batch) -> Terms:
    sum(terms.values(), torch.zeros(())).backward(retain_graph=True)
    return terms


@dataclass(frozen=True, kw_only=True)
class _Made:
    """A model that has made its energy already."""

    energy: Energy

    def __call__(self, batch: Batch, /) -> Energy:
        return self.energy


@dataclass(frozen=True, kw_only=True)
class IgnoresMask:
    """Declares the mask and averages over all rows."""

    needs: Needs = Needs(views=(Quadratic,), keys=("data", "mask"))  # noqa: RUF009 - it is frozen

    def __call__(self, model: Any, batch: Batch, rng: torch.Generator, /) -> Terms:
        everywhere = {"data": batch["data"], "mask": torch.ones_like(batch["data"][:, 0])}
        return ScoreMatching()(_Made(energy=model(batch)), everywhere, rng)


_CLAIMS = ("consistent", "constant-invariant", "mean")


def _example(loss: Any) -> Callable[[], list[LossExample]]:
    return lambda: [LossExample(loss=loss, model=GaussianModel(), batch=data())]


def correct() -> dict[str, Component]:
    """The correct losses by name."""
    matching, denoising = ScoreMatching(), Denoising()
    return {
        "score-matching": component(
            "loss",
            "score-matching",
            _example(matching),
            target=ScoreMatching,
            needs=("Quadratic",),
            claims=_CLAIMS,
        ),
        "denoising": component(
            "loss",
            "denoising",
            _example(denoising),
            target=Denoising,
            needs=("Quadratic",),
            claims=("consistent", "constant-invariant"),
        ),
    }


_WRONG: list[tuple[str, str, Callable[[Terms, Any, Batch], Terms], str]] = [
    ("inverted", "has the wrong sign", _negated, "lower_for_the_model_than_for_its_opposite"),
    ("summed", "sums over the batch", _summed, "more_samples_same_scale"),
    ("detached", "carries no gradient", _detached, "gradient_equals_finite_differences"),
    ("per-row", "gives a number per row", _per_row, "terms_are_named_scalars"),
    ("writes-to-batch", "writes to the batch", _writes, "batch_is_not_written_to"),
    ("reads-more", "reads a key not declared", _reads_other, "undeclared_keys_are_not_read"),
    (
        "of-the-constant",
        "depends on the energy's constant",
        _of_the_constant,
        "constant_of_the_energy_does_not_matter",
    ),
    ("steps-itself", "calls backward itself", _steps_itself, "model_is_not_written_to"),
]


def animals() -> list[Animal]:
    """The wrong losses."""
    siblings = correct()
    matching, denoising = siblings["score-matching"], siblings["denoising"]

    def wrong(name: str, fault: str, loss: Any, sibling: Component, law: str) -> Animal:
        made = component(
            "loss",
            name,
            _example(loss),
            target=Twisted,
            needs=sibling.needs,
            claims=sibling.claims,
        )
        return Animal(fault=fault, component=made, sibling=sibling, caught_by=law)

    inner = ScoreMatching()
    needless = Needs(views=(Quadratic, Score, nn.Module), keys=inner.needs.keys)
    found = [
        wrong(name, fault, Twisted(inner=inner, change=change, needs=inner.needs), matching, law)
        for name, fault, change, law in _WRONG
    ]
    return [
        *found,
        wrong(
            "ignores-mask",
            "declares a mask and ignores it",
            IgnoresMask(),
            matching,
            "missing_key_is_refused",
        ),
        wrong(
            "wants-more",
            "declares a view that its own example lacks",
            ScoreMatching(needs=needless),
            matching,
            "declared_views_are_enough",
        ),
        wrong(
            "global-noise",
            "draws from the global generator",
            Denoising(source="global"),
            denoising,
            "global_randomness_is_untouched",
        ),
        wrong(
            "fresh-noise",
            "draws another seed each time",
            Denoising(source="fresh"),
            denoising,
            "same_rng_same_value",
        ),
    ]
