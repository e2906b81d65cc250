"""What holds for every loss: named scalars, declared needs, true gradients, given randomness."""

import copy
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from groundstate.energy import Energy
from groundstate.examples import LossExample
from groundstate.learning import Batch, Loss
from groundstate.move import to
from groundstate.testing.laws.law import laws
from groundstate.testing.saying import close, require, same
from groundstate.testing.trees import (
    directions,
    disturb_global_randomness,
    equal,
    generator,
    global_randomness,
    leaves,
    nudged,
    snapshot,
    unchanged,
)
from groundstate.testing.typed import slopes
from groundstate.testing.wrappers import negated, raised


def terms(loss: Loss, model: Any, batch: Batch, seed: int = 0) -> dict[str, Tensor]:
    """The loss, with a generator of that seed."""
    return loss(model, batch, generator(seed))


def total(loss: Loss, model: Any, batch: Batch, seed: int = 0) -> Tensor:
    """The sum of its terms."""
    return torch.stack([term.double() for term in terms(loss, model, batch, seed).values()]).sum()


def terms_are_named_scalars(example: LossExample) -> None:
    """At least one term, each a scalar, finite floating-point number."""
    found = terms(example.loss, example.model, example.batch)
    require(len(found) > 0, "a loss must give at least one term, got none")
    for name, term in found.items():
        require(
            tuple(term.shape) == () and term.is_floating_point(),
            f"the term {name!r} must be one floating-point number, got {term.dtype} of shape "
            f"{tuple(term.shape)}",
        )
        require(
            bool(term.detach().isfinite()), f"the term {name!r} must be finite, got {term.item()}"
        )


def missing_key_is_refused(example: LossExample) -> None:
    """Without a key that it declares, it raises an error that names the key."""
    keys = example.loss.needs.keys
    require(
        set(keys) <= set(example.batch),
        f"the example's batch must hold the declared keys {sorted(keys)}, "
        f"got {sorted(example.batch)}",
    )
    for key in keys:
        rest = {name: tensor for name, tensor in example.batch.items() if name != key}
        try:
            terms(example.loss, example.model, rest)
        except (KeyError, ValueError, TypeError) as error:
            require(key in str(error), f"the error must name the missing key {key!r}, got: {error}")
            continue
        require(
            False,
            f"{key!r} is declared in `needs.keys`, but nothing happens without it: either it is "
            "not read and should not be declared, or it is ignored where it should count",
        )


class _Recorder(Mapping[str, Tensor]):
    """A batch that notes which keys are read."""

    def __init__(self, inner: Batch) -> None:
        self.inner = inner
        self.read: set[str] = set()

    def __getitem__(self, key: str) -> Tensor:
        self.read.add(key)
        return self.inner[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self.inner)

    def __len__(self) -> int:
        return len(self.inner)


@dataclass(frozen=True, kw_only=True)
class _OnInputs:
    """A model that is given the whole batch, whatever the loss passes on."""

    inner: Any
    batch: Batch

    def __call__(self, batch: Batch, /) -> Any:
        return self.inner(self.batch)


def undeclared_keys_are_not_read(example: LossExample) -> None:
    """Of the batch, only the keys in `needs.keys` are read (the model may read others)."""
    batch = _Recorder(example.batch)
    terms(example.loss, _OnInputs(inner=example.model, batch=example.batch), batch)
    undeclared = batch.read - set(example.loss.needs.keys)
    require(
        not undeclared,
        f"reads {sorted(undeclared)}, but declares {sorted(example.loss.needs.keys)}: add them to "
        "`needs.keys`",
    )


def declared_views_are_enough(example: LossExample) -> None:
    """The example's model gives every view in `needs.views`."""
    made = example.model(example.batch)
    given = set(made.views) if isinstance(made, Energy) else set[type]()
    lacking = sorted(kind.__name__ for kind in set(example.loss.needs.views) - given)
    require(not lacking, f"declares that it needs {lacking}, which the example's model lacks")


def gradient_equals_finite_differences(example: LossExample) -> None:
    """Its gradient in the model's parameters is its slope, for fixed random numbers."""
    model, parameters = leaves(example.model)
    require(len(parameters) > 0, "the example's model has no floating-point parameters")
    batch = to(dict(example.batch), dtype=torch.float64)
    value = total(example.loss, model, batch)
    require(value.requires_grad, "the loss must carry a graph to the model's parameters")
    found = slopes(value, parameters)
    for seed in range(2):
        along = directions(model, parameters, seed)
        slope = sum(
            (
                (gradient * direction).sum()
                for gradient, direction in zip(found, along, strict=True)
                if gradient is not None
            ),
            torch.zeros((), dtype=torch.float64),
        )
        values: list[Tensor] = []
        for step in (1e-5, -1e-5):
            with nudged(parameters, along, step):
                # a copy has no cached quantities from before the nudge
                values.append(total(example.loss, to(model, dtype=torch.float64), batch).detach())
        close(
            slope,
            (values[0] - values[1]) / 2e-5,
            "the slope of the loss by autograd, against finite differences",
            relative=1e-4,
            scale=1 + float(value.detach().abs()),
        )


def same_rng_same_value(example: LossExample) -> None:
    """The generator alone decides: with one of the same seed, every term is the same."""
    first = terms(example.loss, example.model, example.batch, seed=4)
    second = terms(example.loss, example.model, example.batch, seed=4)
    require(list(first) == list(second), f"the terms must stay {list(first)}, got {list(second)}")
    for name in first:
        same(second[name].detach(), first[name].detach(), f"the term {name!r} a second time")


def global_randomness_is_untouched(example: LossExample) -> None:
    """Random numbers come from the generator passed: no global one is read or changed."""
    before = global_randomness()
    first = total(example.loss, example.model, example.batch)
    after = global_randomness()
    for name in before:
        equal(after[name], before[name], f"the state of the global generator of {name}")
    disturb_global_randomness(77)
    second = total(example.loss, example.model, example.batch)
    same(second.detach(), first.detach(), "the loss after the global generators were moved")


def batch_is_not_written_to(example: LossExample) -> None:
    """The batch is as it was after the call."""
    batch = {name: tensor.clone() for name, tensor in example.batch.items()}
    before, keys = snapshot(batch), list(batch)
    terms(example.loss, example.model, batch)
    require(list(batch) == keys, f"the batch must keep the keys {keys}, got {list(batch)}")
    unchanged(batch, before, "the batch")


def model_is_not_written_to(example: LossExample) -> None:
    """Parameters, buffers, gradients and training mode are as they were after the call."""
    model = copy.deepcopy(example.model)
    before, mode = snapshot(model), getattr(model, "training", None)
    terms(example.loss, model, example.batch)
    unchanged(model, before, "the model")
    require(getattr(model, "training", None) == mode, "the training mode must stay as it is")
    for parameter in model.parameters() if isinstance(model, torch.nn.Module) else ():
        require(parameter.grad is None, "a loss must leave `backward` to the learner")


def more_samples_same_scale(example: LossExample) -> None:
    """Doubling the batch by repeating it leaves a deterministic loss as it is: a mean, no sum."""
    loss, model = example.loss, example.model
    rows = {len(example.batch[key]) for key in loss.needs.keys if example.batch[key].dim()}
    require(len(rows) == 1, f"the declared keys must have one common length, got {sorted(rows)}")
    (count,) = rows
    twice = {
        name: torch.cat([tensor, tensor]) if tensor.dim() and len(tensor) == count else tensor
        for name, tensor in example.batch.items()
    }
    close(
        total(loss, model, twice),
        total(loss, model, example.batch),
        "the loss of the batch repeated twice, against the batch once",
        relative=1e-5,
    )


def constant_of_the_energy_does_not_matter(example: LossExample) -> None:
    """Adding 3 nats to every energy leaves the loss as it is."""
    model = _Wrapped(inner=example.model, change=lambda energy: raised(energy, 3.0))
    close(
        total(example.loss, model, example.batch),
        total(example.loss, example.model, example.batch),
        "the loss with 3 nats added to every energy",
        relative=1e-5,
    )


def lower_for_the_model_than_for_its_opposite(example: LossExample) -> None:
    """The example's model, true to its data, has a lower loss than with its energy negated."""
    model = _Wrapped(inner=example.model, change=negated)
    values = [
        sum(float(total(example.loss, each, example.batch, seed).detach()) for seed in range(3))
        for each in (example.model, model)
    ]
    require(
        values[0] < values[1],
        f"the loss of the example's model must be below that of the negated energy, got "
        f"{values[0]:.6g} and {values[1]:.6g}",
    )


@dataclass(frozen=True, kw_only=True)
class _Wrapped:
    """A model whose energies are changed."""

    inner: Any
    change: Callable[[Energy], Energy]

    def __call__(self, batch: Batch, /) -> Energy:
        return self.change(self.inner(batch))


LAWS = laws(
    terms_are_named_scalars,
    missing_key_is_refused,
    undeclared_keys_are_not_read,
    declared_views_are_enough,
    gradient_equals_finite_differences,
    same_rng_same_value,
    global_randomness_is_untouched,
    batch_is_not_written_to,
    model_is_not_written_to,
    more_samples_same_scale,
    constant_of_the_energy_does_not_matter,
    lower_for_the_model_than_for_its_opposite,
)
