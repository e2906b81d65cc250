"""What holds for every generator: shapes, given randomness, gradients and densities as it says."""

import math
from typing import Any

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from groundstate.energy import view
from groundstate.examples import GeneratorExample
from groundstate.factors import FactorGraph
from groundstate.generator import BoundedGenerator, DensityGenerator
from groundstate.move import to
from groundstate.space import Discrete
from groundstate.testing.laws.law import laws
from groundstate.testing.oracles import enumerate_labellings, solve_densely
from groundstate.testing.saying import Skip, close, refuse, require, same
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
from groundstate.testing.typed import rows, slopes

_MANY = 4000


def draw(example: GeneratorExample, n: int, seed: int = 0) -> Shaped[Tensor, "n ..."]:
    """Samples, with a generator of that seed."""
    return example.generator.sample(n, example.condition, generator(seed))


def samples_have_one_shape(example: GeneratorExample) -> None:
    """N samples come as [n, ...], the rest of the shape being that of one; none works, too."""
    three, one, none = (draw(example, n) for n in (3, 1, 0))
    require(three.shape[:1] == (3,), f"3 samples must come as [3, ...], got {tuple(three.shape)}")
    for n, found in ((1, one), (0, none)):
        expected = (n, *three.shape[1:])
        require(
            tuple(found.shape) == expected,
            f"{n} samples must have shape {expected}, got {tuple(found.shape)}",
        )
    if example.energy is not None:
        example.energy.space.validate(three.detach())


def samples_differ(example: GeneratorExample) -> None:
    """Samples are not copies of one another, and another seed gives others."""
    first = draw(example, 16)
    require(bool((first != first[:1]).any()), "16 samples are all the same")
    require(bool((first != draw(example, 16, seed=1)).any()), "another seed gives the same samples")


def same_rng_same_samples(example: GeneratorExample) -> None:
    """The generator alone decides: one of the same seed gives the same samples."""
    first, second = draw(example, 5, seed=2), draw(example, 5, seed=2)
    same(second.detach(), first.detach(), "samples of the same seed again")


def global_randomness_is_untouched(example: GeneratorExample) -> None:
    """Random numbers come from the generator passed: no global one is read or changed."""
    before = global_randomness()
    first = draw(example, 5)
    after = global_randomness()
    for name in before:
        equal(after[name], before[name], f"the state of the global generator of {name}")
    disturb_global_randomness(77)
    same(draw(example, 5).detach(), first.detach(), "samples after the global ones were moved")


def sampling_writes_to_nothing(example: GeneratorExample) -> None:
    """The generator and the condition are as they were."""
    before = snapshot((example.generator, example.condition))
    draw(example, 3)
    unchanged((example.generator, example.condition), before, "generator and condition")


def reparametrised_is_true(example: GeneratorExample) -> None:
    """`reparametrised` samples have the slope of the samples for fixed random numbers.

    A generator that says it is not carries no graph on its samples.
    """
    built: tuple[Any, list[Tensor]] = leaves(example.generator)
    copied, parameters = built
    condition = to(example.condition, dtype=torch.float64)

    def weighted(each: Any) -> Tensor:
        samples = each.sample(4, condition, generator(0)).double()
        weights = torch.randn(samples.shape, dtype=torch.float64, generator=generator(9))
        return (weights * samples).sum()

    value = weighted(copied)
    if not example.generator.reparametrised:
        require(
            not value.requires_grad,
            "`reparametrised` is False, but samples carry a graph: detach them, or say True",
        )
        return
    require(len(parameters) > 0, "`reparametrised` is True, but there are no parameters")
    require(value.requires_grad, "`reparametrised` is True, but samples carry no graph")
    found = slopes(value, parameters)
    along = directions(copied, parameters, 1)
    slope = torch.zeros((), dtype=torch.float64)
    for gradient, direction in zip(found, along, strict=True):
        slope = slope + (0 if gradient is None else (gradient * direction).sum())
    values: list[Tensor] = []
    for step in (1e-5, -1e-5):
        with nudged(parameters, along, step):
            values.append(weighted(to(copied, dtype=torch.float64)).detach())
    close(
        slope,
        (values[0] - values[1]) / 2e-5,
        "the slope of the samples by autograd, against finite differences",
        relative=1e-4,
        scale=1 + float(value.detach().abs()),
    )


def log_prob_belongs_to_the_sample(example: GeneratorExample) -> None:
    """`sample_with_log_prob` gives the samples' own `log_prob`."""
    made = example.generator
    assert isinstance(made, DensityGenerator)
    samples, stated = made.sample_with_log_prob(6, example.condition, generator(0))
    expected = made.log_prob(samples, example.condition)
    close(stated, expected, "the log probability given with samples, against `log_prob`")


def density_is_that_of_the_samples(example: GeneratorExample) -> None:
    """`log_prob` is normalised, and samples are drawn from it.

    For a known density q inside the support, the mean of q(x) / p(x) over samples of p is 1.
    """
    made = example.generator
    assert isinstance(made, DensityGenerator)
    with torch.no_grad():
        samples = draw(example, _MANY)
        flat = samples.reshape(_MANY, -1).double()
        if flat.shape[-1] > 8:
            raise Skip("the check by importance weights needs at most 8 numbers per sample")
        log_p = made.log_prob(samples, example.condition).double()
        if samples.dtype == torch.int64:
            _check_labels(flat, log_p)
            return
        mean, spread = flat.mean(0), flat.std(0)
        for offset in (0.0, 0.5, -0.5):
            centre, width = mean + offset * spread, 0.5 * spread
            log_q = -0.5 * ((flat - centre) / width) ** 2 - width.log()
            log_q = (log_q - 0.5 * math.log(2 * math.pi)).sum(-1)
            log_p = log_p.reshape(_MANY, -1).sum(-1)
            ratio = (log_q - log_p).exp()
            error = float(ratio.std()) / _MANY**0.5
            require(
                abs(float(ratio.mean()) - 1) < 6 * error + 0.03,
                f"the mean of q(x)/p(x) over {_MANY} samples must be 1 for the density that they "
                f"are drawn from, got {float(ratio.mean()):.4f} ± {error:.4f}",
            )


def _check_labels(flat: Float[Tensor, "n k"], log_p: Float[Tensor, " n"]) -> None:
    kinds, index, counts = rows(flat)
    share = counts.double() / _MANY
    stated = torch.zeros(len(kinds), dtype=torch.float64).scatter(0, index, log_p.exp())
    error = (share * (1 - share) / _MANY).sqrt()
    wrong = (share - stated).abs() > 6 * error + 3e-3
    refuse(wrong, stated, share, "the stated probability, against the share of samples")


def bound_is_given_as_a_bound(example: GeneratorExample) -> None:
    """A generator with `log_prob_bound` has no `log_prob`: the two are never confused."""
    made = example.generator
    require(
        not isinstance(made, DensityGenerator),
        "it has both `log_prob` (exact) and `log_prob_bound`: keep the one that is true",
    )
    assert isinstance(made, BoundedGenerator)
    bound = made.log_prob_bound(draw(example, 4), example.condition, generator(0))
    require(bound.shape[:1] == (4,), f"one bound per sample, got shape {tuple(bound.shape)}")


def samples_follow_the_energy(example: GeneratorExample) -> None:
    """Averages over samples are those of p(x) ∝ exp(-E(x)), by oracle."""
    energy = example.energy
    require(energy is not None, '"exact" is claimed: the example must give its `energy`')
    assert energy is not None
    layout = energy.space.layout
    with torch.no_grad():
        x = draw(example, _MANY)
    flat = x.flatten(x.dim() - len(layout.event_shape))
    if isinstance(energy.space, Discrete):
        graph = view(energy, FactorGraph)
        values = graph.one_hot(flat, torch.float64)
        true = enumerate_labellings(energy).marginals
    else:
        gaussian = solve_densely(energy)
        rest = flat.double() - gaussian.mean
        outer = rest[..., :, None] * rest[..., None, :]
        values = torch.cat([flat.double(), outer.flatten(-2)], -1)
        true = torch.cat([gaussian.mean, gaussian.covariance.flatten(-2)], -1)
    average, error = values.mean(0), values.std(0) / _MANY**0.5
    wrong = (average - true).abs() > 6 * error + 1e-6
    refuse(wrong, average, true, f"the average over {_MANY} samples, against the exact one")


LAWS = (
    *laws(
        samples_have_one_shape,
        samples_differ,
        same_rng_same_samples,
        global_randomness_is_untouched,
        sampling_writes_to_nothing,
        reparametrised_is_true,
        samples_follow_the_energy,
    ),
    *laws(
        log_prob_belongs_to_the_sample,
        density_is_that_of_the_samples,
        applies=lambda example: isinstance(example.generator, DensityGenerator),
    ),
    *laws(
        bound_is_given_as_a_bound,
        applies=lambda example: isinstance(example.generator, BoundedGenerator),
    ),
)
