"""What holds for what factor groups may serve, messages and expectations, against enumeration."""

import torch
from jaxtyping import Float
from torch import Tensor

from groundstate.energy import Energy
from groundstate.factors import ExpectationGroup, FactorGraph, MessageGroup
from groundstate.testing.laws.enumerated import FACTORS, Factor, factors_of, graph_of, lead_of, some
from groundstate.testing.laws.law import laws
from groundstate.testing.saying import Skip, close, require
from groundstate.testing.trees import generator
from groundstate.testing.typed import distinct, ints, pieces


def messages_equal_brute_force(energy: Energy) -> None:
    """Messages are the minima (temperature 0) and soft minima over the other slots."""
    graph = graph_of(energy)
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
        shape = (*lead_of(energy), sum(sizes))
        incoming = torch.randn(shape, dtype=torch.float64, generator=generator(5))
        for temperature in (0.0, 0.7):
            found = group.messages(incoming.to(graph.counts.device), temperature).cpu()
            for factor in factors_of(energy, graph, group):
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
    graph = graph_of(energy)
    scores = torch.randn(
        *lead_of(energy), graph.entries, dtype=torch.float64, generator=generator(6)
    )
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
        for factor in factors_of(energy, graph, group):
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
    for variable in some(len(graph.counts)):
        mask = torch.zeros_like(graph.counts, dtype=torch.bool)
        mask[variable] = True
        near = group.touching(mask)
        if near.count > FACTORS or near.count != len(list(factors_of(energy, graph, near))):
            continue
        true = torch.zeros(*lead_of(energy), int(graph.counts[variable]), dtype=torch.float64)
        for factor in factors_of(energy, graph, near):
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


LAWS = laws(
    messages_equal_brute_force,
    expectations_equal_enumeration,
    applies=lambda energy: FactorGraph in energy.views,
)
