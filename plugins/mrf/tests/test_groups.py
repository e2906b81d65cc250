"""Every service of every group of factors, against enumeration."""

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from plugins.mrf.tests.random_groups import structured_problems
from plugins.mrf.tests.random_problems import every_labelling, parts, random_problem
from torch import Tensor

import groundstate as gs
from groundstate.factors import ExpectationGroup, MessageGroup, join
from groundstate_mrf.factor_graph import FactorGraphEnergy, cardinality
from groundstate_mrf.groups.grid import EIGHT, GridPottsGroup

INFINITY = float("inf")
cases = pytest.mark.parametrize(
    ("seed", "batch", "infinite"),
    [(0, (), 0.0), (1, (), 0.2), (2, (2,), 0.0), (3, (2,), 0.2), (4, (), 0.4), (5, (2, 2), 0.1)],
)


def same(left: Tensor, right: Tensor) -> None:
    torch.testing.assert_close(left, right, rtol=1e-9, atol=1e-9)


def alone(seed: int, batch: tuple[int, ...], infinite: float) -> list[FactorGraphEnergy]:
    """Problems of one group each, of every form."""
    problem = random_problem(seed, batch=batch, infinite=infinite)
    return parts(problem) + structured_problems(seed, batch, infinite)


@cases
def test_moves_are_energies_of_the_moved_labelling(
    seed: int, batch: tuple[int, ...], infinite: float
) -> None:
    for energy in alone(seed, batch, infinite):
        graph, (group,) = energy.graph, energy.groups
        x = energy.space.sample(torch.Generator().manual_seed(seed), (3,))
        moves = group.moves(x)
        for entry in range(graph.entries):
            variable, label = graph.variable_of_entry[entry], graph.label_of_entry[entry]
            moved = x.clone()
            moved[..., variable] = label
            near = torch.zeros(group.count, dtype=torch.bool)
            near[group.owners[group.slots == variable]] = True
            same(moves[..., entry], group.energies(moved)[..., near].sum(-1))


@cases
def test_minima_are_the_least_energies(seed: int, batch: tuple[int, ...], infinite: float) -> None:
    for energy in alone(seed, batch, infinite):
        labels, _ = every_labelling(energy)
        same(energy.groups[0].minima(), energy.groups[0].energies(labels).amin(0))


@cases
@pytest.mark.parametrize("temperature", [0.0, 0.7])
def test_messages_are_minima_over_the_other_variables(
    seed: int, batch: tuple[int, ...], infinite: float, temperature: float
) -> None:
    rng = torch.Generator().manual_seed(seed)
    for energy in alone(seed, batch, infinite):
        graph, (group,) = energy.graph, energy.groups
        if "messages" not in group.serves:
            continue
        assert isinstance(group, MessageGroup)
        incoming = torch.randn(*batch, len(group.entries), generator=rng, dtype=torch.float64)
        forbidden = torch.rand(incoming.shape, generator=rng) < infinite
        incoming = torch.where(forbidden, INFINITY, incoming)
        sent = group.messages(incoming, temperature)
        labels, _ = every_labelling(energy)
        energies = group.energies(labels)
        counts = graph.counts[group.slots]
        slot_of = torch.arange(len(counts)).repeat_interleave(counts)
        first = counts.cumsum(0) - counts
        at = [incoming[..., first[s] : first[s] + counts[s]] for s in range(len(counts))]
        for place, (slot, entry) in enumerate(zip(slot_of, group.entries, strict=True)):
            cost = energies[..., group.owners[slot]]
            members = (group.owners == group.owners[slot]).nonzero().flatten()
            for other in members:
                if other != slot:
                    table = at[other].expand(*labels.shape[:-1], -1)
                    cost = cost + table.gather(-1, labels[..., group.slots[other], None]).squeeze(
                        -1
                    )
            mine = graph.label_of_entry[entry]
            cost = torch.where(labels[..., group.slots[slot]] == mine, cost, INFINITY)
            if temperature == 0:
                expected = cost.amin(0)
            else:
                # labellings that differ outside the factor are counted many times over
                members = group.slots[members]
                copies = len(labels) / graph.counts[members].prod()
                expected = -temperature * torch.logsumexp(-cost / temperature, 0)
                expected = expected + temperature * copies.double().log()
            same(sent[..., place], expected)


@cases
def test_expectations_equal_enumeration(seed: int, batch: tuple[int, ...], infinite: float) -> None:
    rng = torch.Generator().manual_seed(seed)
    for energy in alone(seed, batch, infinite):
        graph, (group,) = energy.graph, energy.groups
        assert isinstance(group, ExpectationGroup)
        chance = torch.rand(*batch, graph.entries, generator=rng, dtype=torch.float64)
        # certainty must not turn 0 · inf into NaN
        chance = torch.where(chance < 0.3, 0.0, chance)
        sums = torch.zeros(*batch, len(graph.counts), dtype=torch.float64)
        sums = sums.index_add(-1, graph.variable_of_entry, chance)
        chance = torch.where(sums[..., graph.variable_of_entry] > 0, chance, 1.0)
        sums = torch.zeros_like(sums).index_add(-1, graph.variable_of_entry, chance)
        beliefs = chance / sums[..., graph.variable_of_entry]
        labels, _ = every_labelling(energy)
        each = beliefs.expand(*labels.shape[:-1], -1).gather(-1, graph.offsets + labels)
        energies = group.energies(labels)
        weight = each.prod(-1, keepdim=True)
        mean = torch.where(weight > 0, energies * weight, 0.0).sum(0)
        same(group.expected_energies(beliefs), mean)
        moves = group.expected_moves(beliefs)
        for entry in range(graph.entries):
            variable, label = graph.variable_of_entry[entry], graph.label_of_entry[entry]
            others = torch.cat([each[..., :variable], each[..., variable + 1 :]], -1).prod(-1)
            here = (labels[..., variable] == label) & (others > 0)
            near = torch.zeros(group.count, dtype=torch.bool)
            near[group.owners[group.slots == variable]] = True
            cost = energies[..., near].sum(-1)
            same(moves[..., entry], torch.where(here, cost * others, 0.0).sum(0))


@cases
def test_touching_and_joining_keep_the_factors(
    seed: int, batch: tuple[int, ...], infinite: float
) -> None:
    energy = random_problem(seed, batch=batch, infinite=infinite)
    graph = energy.graph
    x = energy.space.sample(torch.Generator().manual_seed(seed))
    mask = torch.tensor([True, False, False, True, False])
    near = graph.touching(mask)
    for group, kept in zip(graph.groups, near.groups, strict=True):
        touched = torch.zeros(group.count, dtype=torch.bool)
        touched[group.owners[mask[group.slots]]] = True
        same(kept.energies(x), group.energies(x)[..., touched])
    entries = mask[graph.variable_of_entry]
    same(near.moves(x)[..., entries], graph.moves(x)[..., entries])
    if not batch:
        other = random_problem(seed + 100)
        both = join([graph, other.graph])
        y = other.space.sample(torch.Generator().manual_seed(1))
        same(both.energy(torch.cat([x, y])), torch.stack([energy(x), other(y)]))
        same(both.moves(torch.cat([x, y])), torch.cat([graph.moves(x), other.graph.moves(y)]))
        same(both.bound(), torch.stack([graph.bound(), other.graph.bound()]))


@pytest.mark.parametrize("offset", EIGHT)
@pytest.mark.parametrize("infinite", [0.0, 0.3])
def test_grid_factors_are_potts_edges(offset: tuple[int, int], infinite: float) -> None:
    rng = torch.Generator().manual_seed(0)
    shape = (2, 3 - offset[0], 4 - abs(offset[1]))
    weights = torch.randn(shape, generator=rng, dtype=torch.float64)
    weights = torch.where(torch.rand(shape, generator=rng) < infinite, INFINITY, weights)
    grid = GridPottsGroup(weights=weights, offset=offset, height=3, width=4, labels=3, total=36)
    grid = grid.shifted(variables=2, entries=4, total=45)
    edges = grid.edges
    labels = torch.randint(3, (5, 2, 16), generator=rng)
    beliefs = torch.rand(2, 45, generator=rng, dtype=torch.float64)
    same(grid.energies(labels), edges.energies(labels))
    same(grid.moves(labels), edges.moves(labels))
    same(grid.expected_moves(beliefs), edges.expected_moves(beliefs))
    same(grid.expected_energies(beliefs), edges.expected_energies(beliefs))
    same(grid.minima(), edges.minima())


@settings(max_examples=40, deadline=None)
@given(
    costs=st.lists(st.sampled_from([0.0, 0.5, 1.0, -1.0, INFINITY]), min_size=8, max_size=8),
    values=st.lists(st.sampled_from([0.0, 1.0, -2.0, INFINITY]), min_size=5, max_size=5),
)
def test_cardinality_messages_survive_ties_and_infinities(
    costs: list[float], values: list[float]
) -> None:
    counts = torch.full((4,), 2)
    group = cardinality(counts, [[0, 1, 2, 3]], [torch.tensor(values, dtype=torch.float64)])
    incoming = torch.tensor(costs, dtype=torch.float64)
    sent = group.messages(incoming, 0.0).reshape(4, 2)
    labels = torch.cartesian_prod(*[torch.arange(2)] * 4)
    cost = group.energies(labels).squeeze(-1)
    for place in range(4):
        others = [i for i in range(4) if i != place]
        total = cost + sum(incoming.reshape(4, 2)[i][labels[:, i]] for i in others)
        for label in range(2):
            same(sent[place, label], total[labels[:, place] == label].amin())


def test_order_300_needs_no_table() -> None:
    counts = torch.full((300,), 2)
    rng = torch.Generator().manual_seed(0)
    values = (torch.arange(301, dtype=torch.float64) - 100).abs()
    group = cardinality(counts, [range(300)], [values])
    incoming = torch.randn(600, generator=rng, dtype=torch.float64)
    sent = group.messages(incoming, 0.0).reshape(300, 2)
    soft = group.messages(incoming, 1e-3).reshape(300, 2)
    torch.testing.assert_close(sent, soft, atol=0.3, rtol=0)
    # the best labelling by sorting differences, spec §1.2
    off, on = incoming.reshape(300, 2).unbind(-1)
    best = (values + torch.cat([off.new_zeros(1), (on - off).sort().values.cumsum(0)])).amin()
    same((sent + incoming.reshape(300, 2)).amin(-1), (best + off.sum()).expand(300))
    beliefs = torch.full((600,), 0.5, dtype=torch.float64)
    log_weights = [torch.lgamma(torch.tensor(v + 1.0, dtype=torch.float64)) for v in range(301)]
    log_weights = torch.stack(log_weights)
    chance = log_weights[300] - log_weights - log_weights.flip(0) - 300 * math.log(2)
    same(group.expected_energies(beliefs).sum(), (chance.exp() * values).sum().double())


def test_energies_are_differentiable_in_tables_and_weights() -> None:
    energy = random_problem(6, batch=(2,))
    leaves: list[Any] = [gs.to(group, dtype=torch.float64) for group in energy.groups]
    x = energy.space.sample(torch.Generator().manual_seed(1), (2,))
    for group in leaves:
        field = next(n for n in ("tables", "weights", "values") if n in vars(group))

        def total(values: Tensor, group: Any = group, field: str = field) -> Tensor:
            changed = replace(group, **{field: values})
            moves = changed.moves(x)
            return changed.energies(x).sum() + (moves * moves).sum()

        values: Tensor = getattr(group, field)
        assert torch.autograd.gradcheck(total, values.clone().requires_grad_())


def test_wrong_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"one weight .*offset|must end in shape"):
        GridPottsGroup(
            weights=torch.zeros(3, 4), offset=(0, 1), height=3, width=4, labels=2, total=24
        )
    with pytest.raises(ValueError, match=r"n \+ 1 values"):
        cardinality(torch.tensor([2, 2]), [[0, 1]], [torch.zeros(2)])
    with pytest.raises(ValueError, match="one of each variable's labels"):
        cardinality(torch.tensor([2, 3]), [[0, 1]], [torch.zeros(3)], counted=2)
