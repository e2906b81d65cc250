"""What holds for a factor graph and for each of its groups, against enumeration."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from groundstate.energy import Energy, view
from groundstate.factors import ExpectationGroup, FactorGraph, FactorGroup, MessageGroup
from groundstate.move import to
from groundstate.testing.laws.energy import points
from groundstate.testing.laws.law import laws
from groundstate.testing.oracles import labellings
from groundstate.testing.saying import Skip, close, require
from groundstate.testing.trees import generator
from groundstate.testing.typed import distinct, ints, pieces

_FACTORS = 6
_CELLS = 4096
_VARIABLES = 8


@dataclass(frozen=True, kw_only=True)
class Factor:
    """One factor of a group, with all its joint labellings.

    Attributes:
        index: number within the group.
        slots: number of each of its slots within the group.
        variables: variable of each slot.
        labels: the joint labellings of its variables.
        energies: its energy for each of them, in nats.
    """

    index: int
    slots: list[int]
    variables: list[int]
    labels: Int[Tensor, "cells order"]
    energies: Float[Tensor, "*batch cells"]


def _graph(energy: Energy) -> FactorGraph:
    return view(to(energy, dtype=torch.float64), FactorGraph)


def _labels(energy: Energy, count: int, seed: int = 0) -> Int[Tensor, "..."]:
    x = points(energy, count, seed=seed)
    return x.flatten(x.dim() - len(energy.space.layout.event_shape))


def _lead(energy: Energy) -> tuple[int, ...]:
    layout = energy.space.layout
    return () if layout.segments is not None else layout.batch_shape


def _factors(energy: Energy, graph: FactorGraph, group: FactorGroup) -> Iterator[Factor]:
    """A few factors of a group, spread over it, whose labellings can be enumerated."""
    owners, slots = ints(group.owners), ints(group.slots)
    found = 0
    step = max(1, group.count // _FACTORS)
    for index in range(0, group.count, step):
        own = [slot for slot, owner in enumerate(owners) if owner == index]
        variables = [slots[slot] for slot in own]
        sizes = [int(graph.counts[variable]) for variable in variables]
        if math.prod(sizes) > _CELLS:
            continue
        found += 1
        joint = labellings(torch.tensor(sizes))
        yield Factor(
            index=index,
            slots=own,
            variables=variables,
            labels=joint,
            energies=_energies_of(energy, graph, group, index, variables, joint),
        )
    if group.count and not found:
        raise Skip(f"every factor of {type(group).__name__} has over {_CELLS} joint labellings")


def _energies_of(
    energy: Energy,
    graph: FactorGraph,
    group: FactorGroup,
    index: int,
    variables: list[int],
    joint: Int[Tensor, "cells order"],
) -> Float[Tensor, "*batch cells"]:
    lead = _lead(energy)
    labels = torch.zeros(len(joint), len(graph.counts), dtype=torch.int64)
    labels[:, variables] = joint
    spread = labels.reshape(len(joint), *(1,) * len(lead), -1).expand(len(joint), *lead, -1)
    return group.energies(spread.to(graph.counts.device))[..., index].movedim(0, -1).cpu()


def factor_graph_agrees_with_energy(energy: Energy) -> None:
    """C + Σ factors is E(x), and the graph's variables are those of the space."""
    double = to(energy, dtype=torch.float64)
    graph = view(double, FactorGraph)
    counts = getattr(energy.space, "counts", None)
    require(counts is not None, "a factor graph belongs to a discrete space")
    assert isinstance(counts, Tensor)
    require(
        graph.counts.tolist() == counts.flatten().tolist(),
        "the graph's label counts must be those of the space, flattened",
    )
    x = points(double, 4)
    labels = _labels(double, 4)
    close(graph.energy(labels), double(x), "the sum of the factors, against E(x)")
    close(graph.energy(labels[0]), double(x[0]), "the sum of the factors of one labelling")


def slots_are_sorted_and_complete(energy: Energy) -> None:
    """Slots say which variables a factor depends on: no other variable matters to it."""
    graph = _graph(energy)
    for group in graph.groups:
        name = type(group).__name__
        owners, slots = group.owners, group.slots
        require(owners.shape == slots.shape, f"{name}: owners and slots must have the same length")
        require(bool((owners.diff() >= 0).all()), f"{name}: owners must be sorted")
        if len(owners):
            require(
                int(owners.max()) < group.count, f"{name}: an owner must be below {group.count}"
            )
        labels, others = _labels(energy, 1)[0], _labels(energy, 1, seed=1)[0]
        before = group.energies(labels)
        require(
            before.shape[-1] == group.count,
            f"{name}: energies must end in {group.count} factors, got {tuple(before.shape)}",
        )
        for variable in _some(len(graph.counts)):
            changed = labels.clone()
            changed[..., variable] = others[..., variable]
            touched = torch.zeros(group.count, dtype=torch.bool, device=owners.device)
            touched[owners[slots == variable]] = True
            close(
                group.energies(changed)[..., ~touched],
                before[..., ~touched],
                f"{name}: energies of the factors without variable {variable} after it changed",
            )


def moves_are_energy_differences(energy: Energy) -> None:
    """For each label of a variable: the sum of the factors that touch it, if it took the label."""
    graph = _graph(energy)
    labels = _labels(energy, 2)
    for group in graph.groups:
        name = type(group).__name__
        require("moves" in group.serves, f"{name}: every group must serve 'moves'")
        moves = group.moves(labels)
        expected = (2, *_lead(energy), graph.entries)
        require(
            tuple(moves.shape) == expected,
            f"{name}: moves must have shape {expected} (all entries of the graph), "
            f"got {tuple(moves.shape)}",
        )
        for variable in _some(len(graph.counts)):
            touching = distinct(group.owners[group.slots == variable])
            for label in range(int(graph.counts[variable])):
                changed = labels.clone()
                changed[..., variable] = label
                true = group.energies(changed)[..., touching].sum(-1)
                entry = int(graph.offsets[variable]) + label
                close(
                    moves[..., entry],
                    true,
                    f"{name}: moves for label {label} of variable {variable}, against the energies "
                    "of the factors that touch it",
                )


def minima_are_lower_bounds(energy: Energy) -> None:
    """No factor is ever below its minimum."""
    graph = _graph(energy)
    for group in graph.groups:
        minima = group.minima()
        name = type(group).__name__
        require(
            minima.shape[-1:] == (group.count,),
            f"{name}: minima must end in {group.count} factors, got shape {tuple(minima.shape)}",
        )
        values = group.energies(_labels(energy, 16))
        room = 1e-9 * (1 + values.abs())
        require(
            bool((values >= minima - room).all()),
            f"{name}: a labelling has a factor below its stated minimum by "
            f"{float((minima - values).detach().nan_to_num(-1.0).max()):.6g}",
        )
        for factor in _factors(energy, graph, group):
            true = factor.energies.amin(-1)
            stated = minima[..., factor.index].cpu()
            excess = stated.expand_as(true) - true
            require(
                bool((stated <= true + 1e-9 * (1 + true.abs())).all()),
                f"{name}: the minimum of factor {factor.index} is stated too high by "
                f"{float(excess.detach().max()):.6g}",
            )


def messages_equal_brute_force(energy: Energy) -> None:
    """Messages are the minima (temperature 0) and soft minima over the other slots."""
    graph = _graph(energy)
    for group in graph.groups:
        name = type(group).__name__
        if "messages" not in group.serves:
            continue
        require(isinstance(group, MessageGroup), f"{name} serves 'messages' but lacks its methods")
        assert isinstance(group, MessageGroup)
        sizes = ints(graph.counts[group.slots])
        first = [sum(sizes[:slot]) for slot in range(len(sizes))] if len(sizes) < 2000 else []
        if not first:
            raise Skip(f"{name} has {len(sizes)} slots; messages are checked up to 2000")
        expected = torch.cat(
            [
                graph.offsets[variable] + torch.arange(size, device=graph.counts.device)
                for variable, size in zip(ints(group.slots), sizes, strict=True)
            ]
        )
        close(group.entries, expected, f"{name}: the graph's entry of each group entry")
        shape = (*_lead(energy), sum(sizes))
        incoming = torch.randn(shape, dtype=torch.float64, generator=generator(5))
        for temperature in (0.0, 0.7):
            found = group.messages(incoming.to(graph.counts.device), temperature).cpu()
            for factor in _factors(energy, graph, group):
                _check_messages(name, factor, first, incoming, found, temperature)


def _check_messages(
    name: str,
    factor: Factor,
    first: list[int],
    incoming: Float[Tensor, "*batch group_entries"],
    found: Float[Tensor, "*batch group_entries"],
    temperature: float,
) -> None:
    terms = [
        incoming[..., first[slot] + factor.labels[:, place]]
        for place, slot in enumerate(factor.slots)
    ]
    for place, slot in enumerate(factor.slots):
        cost = factor.energies
        for other, term in enumerate(terms):
            cost = cost + term if other != place else cost
        for label in ints(distinct(factor.labels[:, place])):
            chosen = cost[..., factor.labels[:, place] == label]
            true = chosen.amin(-1)
            if temperature > 0:
                true = -temperature * torch.logsumexp(-chosen / temperature, -1)
            close(
                found[..., first[slot] + label],
                true,
                f"{name}: the message of factor {factor.index} to its slot {place}, label {label}, "
                f"at temperature {temperature}",
                relative=1e-7,
            )


def expectations_equal_enumeration(energy: Energy) -> None:
    """Expected energies and moves are means over independent draws from the beliefs."""
    graph = _graph(energy)
    scores = torch.randn(*_lead(energy), graph.entries, dtype=torch.float64, generator=generator(6))
    beliefs = torch.cat([p.softmax(-1) for p in pieces(scores, ints(graph.counts))], -1)
    offsets = ints(graph.offsets)
    for group in graph.groups:
        name = type(group).__name__
        if "expectations" not in group.serves:
            continue
        require(
            isinstance(group, ExpectationGroup), f"{name} serves 'expectations' without its methods"
        )
        assert isinstance(group, ExpectationGroup)
        given = beliefs.to(graph.counts.device)
        energies = group.expected_energies(given).cpu()
        for factor in _factors(energy, graph, group):
            chance = _chance(factor, beliefs, offsets, without=None)
            close(
                energies[..., factor.index],
                _mean(chance, factor.energies),
                f"{name}: the expected energy of factor {factor.index}",
                relative=1e-7,
            )
        _check_expected_moves(energy, graph, group, beliefs)


def _check_expected_moves(
    energy: Energy, graph: FactorGraph, group: ExpectationGroup, beliefs: Tensor
) -> None:
    moves = group.expected_moves(beliefs.to(graph.counts.device)).cpu()
    offsets = ints(graph.offsets)
    for variable in _some(len(graph.counts)):
        mask = torch.zeros_like(graph.counts, dtype=torch.bool)
        mask[variable] = True
        near = group.touching(mask)
        if near.count > _FACTORS or near.count != len(list(_factors(energy, graph, near))):
            continue
        true = torch.zeros(*_lead(energy), int(graph.counts[variable]), dtype=torch.float64)
        for factor in _factors(energy, graph, near):
            place = factor.variables.index(variable)
            chance = _chance(factor, beliefs, offsets, without=place)
            for label in range(true.shape[-1]):
                chosen = factor.labels[:, place] == label
                true[..., label] += _mean(chance[..., chosen], factor.energies[..., chosen])
        found = moves[..., offsets[variable] : offsets[variable] + true.shape[-1]]
        close(
            found,
            true,
            f"{type(group).__name__}: expected moves of variable {variable}",
            relative=1e-7,
        )


def _chance(factor: Factor, beliefs: Tensor, offsets: list[int], without: int | None) -> Tensor:
    chance = beliefs.new_ones(*beliefs.shape[:-1], len(factor.labels))
    for place, variable in enumerate(factor.variables):
        if place != without:
            chance = chance * beliefs[..., offsets[variable] + factor.labels[:, place]]
    return chance


def _mean(chance: Tensor, energies: Tensor) -> Tensor:
    return torch.where(chance > 0, chance * energies, 0.0).sum(-1)


def touching_keeps_the_right_factors(energy: Energy) -> None:
    """`touching` keeps exactly the factors that have one of the variables, unchanged."""
    graph = _graph(energy)
    labels = _labels(energy, 2)
    for variables in ([0], list(range(0, len(graph.counts), 2)), []):
        mask = torch.zeros_like(graph.counts, dtype=torch.bool)
        mask[variables] = True
        for group in graph.groups:
            kept = group.touching(mask)
            expected = distinct(group.owners[mask[group.slots]])
            require(
                kept.count == len(expected),
                f"{type(group).__name__}: {len(expected)} factors touch the variables "
                f"{variables[:5]}, but {kept.count} were kept",
            )
            close(
                kept.energies(labels),
                group.energies(labels)[..., expected],
                f"{type(group).__name__}: energies of the factors kept",
            )


def shifted_factors_are_the_same_elsewhere(energy: Energy) -> None:
    """Behind 3 other variables with 7 entries, factors have the same energies and moves."""
    graph = _graph(energy)
    labels = _labels(energy, 2)
    lead = labels.shape[:-1]
    padded = torch.cat([labels.new_zeros(*lead, 3), labels, labels.new_zeros(*lead, 1)], -1)
    total = 7 + graph.entries + 2
    for group in graph.groups:
        name = type(group).__name__
        moved = group.shifted(variables=3, entries=7, total=total)
        close(moved.energies(padded), group.energies(labels), f"{name}: energies after a shift")
        close(moved.slots, group.slots + 3, f"{name}: slots after a shift by 3 variables")
        moves = moved.moves(padded)
        require(
            moves.shape[-1] == total,
            f"{name}: moves after a shift must have {total} entries, got {moves.shape[-1]}",
        )
        close(moves[..., 7:-2], group.moves(labels), f"{name}: moves after a shift by 7 entries")
        require(
            bool((moves[..., :7] == 0).all() and (moves[..., -2:] == 0).all()),
            f"{name}: after a shift, other variables' entries must be 0",
        )
        if isinstance(group, MessageGroup) and "messages" in group.serves:
            assert isinstance(moved, MessageGroup)
            close(moved.entries, group.entries + 7, f"{name}: entries after a shift by 7")


def independent_minimum_is_a_bound(energy: Energy) -> None:
    """`FactorGraph.bound` lies below the energy of every labelling tried."""
    double = to(energy, dtype=torch.float64)
    bound = view(double, FactorGraph).bound()
    lowest = double(points(double, 64)).amin(0)
    require(
        bool((bound <= lowest + 1e-9 * (1 + lowest.abs())).all()),
        f"the independent-minimum bound {bound.tolist()} exceeds an energy {lowest.tolist()}",
    )


def _some(count: int) -> list[int]:
    """A few numbers spread over 0 ... count - 1, the ends among them."""
    if count <= _VARIABLES:
        return list(range(count))
    return [round(i * (count - 1) / (_VARIABLES - 1)) for i in range(_VARIABLES)]


LAWS = laws(
    factor_graph_agrees_with_energy,
    slots_are_sorted_and_complete,
    moves_are_energy_differences,
    minima_are_lower_bounds,
    messages_equal_brute_force,
    expectations_equal_enumeration,
    touching_keeps_the_right_factors,
    shifted_factors_are_the_same_elsewhere,
    independent_minimum_is_a_bound,
    applies=lambda energy: FactorGraph in energy.views,
)
