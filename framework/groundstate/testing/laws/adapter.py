"""What holds for every adapter: back in the space, values kept where claimed, bounds that hold."""

from typing import Any

import torch
from jaxtyping import Shaped
from torch import Tensor

from groundstate.adapter import Adapted, Adapter
from groundstate.energy import view
from groundstate.factors import FactorGraph
from groundstate.space import Discrete
from groundstate.testing.laws.energy import points
from groundstate.testing.laws.law import laws
from groundstate.testing.oracles import LIMIT, enumerate_labellings, solve_densely
from groundstate.testing.problems.problem import Problem
from groundstate.testing.saying import Broken, Skip, close, refuse, require
from groundstate.testing.trees import snapshot, unchanged
from groundstate.views import Quadratic


def decodes_into_the_space(adapter: Adapter, problem: Problem) -> None:
    """Every configuration of the adapted energy decodes to one of the original."""
    adapted = adapter.adapt(problem.energy)
    for x in points(adapted.energy, 4):
        decoded = adapted.decode(x)
        try:
            problem.energy.space.validate(decoded)
        except (TypeError, ValueError) as error:
            require(False, f"a decoded configuration is none of the original space: {error}")
        require(
            tuple(decoded.shape) == problem.energy.space.layout.shape,
            f"a decoded configuration must have shape {problem.energy.space.layout.shape}, "
            f"got {tuple(decoded.shape)}",
        )


def adapting_writes_to_nothing(adapter: Adapter, problem: Problem) -> None:
    """The energy is as it was, and so is what is decoded."""
    before = snapshot(problem.energy)
    adapted = adapter.adapt(problem.energy)
    x = points(adapted.energy)
    kept = x.clone()
    adapted.decode(x)
    unchanged(problem.energy, before, "the energy")
    require(torch.equal(x, kept), "`decode` wrote to its input")


def adapted_energy_is_lawful(adapter: Adapter, problem: Problem) -> None:
    """The adapted energy obeys every law of energies."""
    from groundstate.testing.laws.tables import LAWS_OF_ENERGIES

    energy = adapter.adapt(problem.energy).energy
    for law in LAWS_OF_ENERGIES:
        if not law.applies(energy):
            continue
        try:
            law.check(energy)
        except Broken as error:
            raise Broken(f"the adapted energy breaks {law.name}: {error}") from error
        except Skip:
            continue


def bound_transfers_as_it_says(adapter: Adapter, problem: Problem) -> None:
    """Where `bound_transfers`, the adapted minimum does not exceed the original one."""
    adapted = adapter.adapt(problem.energy)
    if not adapted.bound_transfers:
        return
    lowest = _minimum(adapted)
    allowed = 1e-6 * (1 + problem.minimum.abs())
    refuse(
        lowest > problem.minimum + allowed,
        lowest,
        problem.minimum,
        "the minimum of the adapted energy must not exceed the original one, for bounds transfer",
    )


def _minimum(adapted: Adapted) -> Tensor:
    energy = adapted.energy
    if isinstance(energy.space, Discrete):
        total = float(energy.space.counts.double().log().sum())
        if total > torch.tensor(float(LIMIT)).log() or energy.space.segments is not None:
            raise Skip("the adapted problem is too large for brute force")
        return enumerate_labellings(energy).minimum
    if Quadratic not in energy.views or energy.space.segments is not None:
        raise Skip("no oracle knows the minimum of the adapted energy")
    gaussian = solve_densely(energy)
    definite = gaussian.spectrum[..., 0] > 0
    return torch.where(definite, gaussian.minimum, float("-inf"))


def energy_is_kept_on_vertices(adapter: Adapter, problem: Problem) -> None:
    """E'(x') is E(decode(x')) for every x' that stands for a configuration."""
    adapted = adapter.adapt(problem.energy)
    for x in _vertices(adapted, problem):
        decoded = adapted.decode(x)
        close(
            adapted.energy(x).double(),
            problem.energy(decoded).double(),
            "the adapted energy of a configuration, against the original one",
            relative=1e-6,
        )


def _vertices(adapted: Adapted, problem: Problem) -> list[Shaped[Tensor, "..."]]:
    """Configurations of the adapted energy that stand exactly for one of the original."""
    space = adapted.energy.space
    if isinstance(space, Discrete):
        return list(points(adapted.energy, 6))
    labels = points(problem.energy, 6)
    candidates: list[Any] = [labels.to(space.dtype)]
    if FactorGraph in problem.energy.views:
        flat = labels.flatten(labels.dim() - len(problem.energy.space.layout.event_shape))
        candidates.append(view(problem.energy, FactorGraph).one_hot(flat, space.dtype))
    for candidate in candidates:
        if candidate[0].numel() != torch.Size(space.layout.shape).numel():
            continue
        xs = candidate.reshape(6, *space.layout.shape)
        decoded = torch.stack([adapted.decode(x) for x in xs])
        if decoded.shape == labels.shape and torch.equal(decoded, labels):
            return list(xs)
    raise Skip("the kit finds no configurations of the adapted energy that decode to given labels")


LAWS = laws(
    decodes_into_the_space,
    adapting_writes_to_nothing,
    adapted_energy_is_lawful,
    bound_transfers_as_it_says,
    energy_is_kept_on_vertices,
    applies=lambda problem: problem.solvable and not problem.large,
)
