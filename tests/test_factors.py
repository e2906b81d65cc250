"""The factor graph: entries, sums per problem, labels, and which groups serve what."""

import itertools
from dataclasses import replace

import pytest
import torch
from tests.toys import F64, tensor
from torch import Tensor

from groundstate.energy import view
from groundstate.errors import ViewError
from groundstate.factors import ExpectationGroup, FactorGraph, MessageGroup, join
from groundstate.testing.tables import TableEnergy, table_energy


def random_energy(counts: list[int], seed: int = 0, serves: tuple[str, ...] = ()) -> TableEnergy:
    """A chain with a unary table per variable."""
    rng = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, generator=rng, dtype=F64)

    factors: list[tuple[tuple[int, ...], Tensor]] = [((i,), draw(c)) for i, c in enumerate(counts)]
    factors += [((i, i + 1), draw(counts[i], counts[i + 1])) for i in range(len(counts) - 1)]
    options = {"serves": frozenset(serves)} if serves else {}
    return table_energy(torch.tensor(counts), factors, constant=0.5, **options)  # pyright: ignore[reportArgumentType]


RAGGED = random_energy([2, 3, 1])
GRAPH = view(RAGGED, FactorGraph)


def labellings(counts: list[int]) -> Tensor:
    return torch.tensor(list(itertools.product(*(range(c) for c in counts))))


def test_entries_are_labels_of_variables_one_after_another() -> None:
    assert GRAPH.entries == 6
    assert GRAPH.width is None
    assert GRAPH.offsets.tolist() == [0, 2, 5]
    assert GRAPH.variable_of_entry.tolist() == [0, 0, 1, 1, 1, 2]
    assert GRAPH.label_of_entry.tolist() == [0, 1, 0, 1, 2, 0]
    assert view(random_energy([3, 3]), FactorGraph).width == 3


def test_moves_are_the_conditional_energies() -> None:
    labels = torch.tensor([1, 2, 0])
    energies = GRAPH.moves(labels)
    for entry in range(GRAPH.entries):
        variable, label = int(GRAPH.variable_of_entry[entry]), int(GRAPH.label_of_entry[entry])
        moved = labels.clone()
        moved[variable] = label
        own = GRAPH.offsets[variable] + labels[variable]
        torch.testing.assert_close(
            energies[entry] - energies[own], GRAPH.energy(moved) - GRAPH.energy(labels)
        )


def test_the_independent_minimum_is_below_every_energy() -> None:
    every = GRAPH.energy(labellings([2, 3, 1]))
    assert float(GRAPH.bound()) <= float(every.min())
    alone = view(table_energy(torch.tensor([3]), [((0,), tensor(3.0, 1.0, 2.0))]), FactorGraph)
    assert float(alone.bound()) == 1.0


def test_one_hot_marks_the_labels_taken() -> None:
    assert GRAPH.one_hot(torch.tensor([1, 2, 0]), F64).tolist() == [0, 1, 0, 0, 1, 1]


@pytest.mark.parametrize(
    ("counts", "scores", "best"),
    [
        ([2, 2], [1.0, 0.0, 3.0, 3.0], [1, 0]),
        ([2, 3, 1], [1.0, 0.0, 5.0, 4.0, 4.0, 9.0], [1, 1, 0]),
        ([1, 2], [float("inf"), float("inf"), float("inf")], [0, 0]),
    ],
)
def test_the_best_label_is_the_first_of_the_lowest(
    counts: list[int], scores: list[float], best: list[int]
) -> None:
    graph = FactorGraph(counts=torch.tensor(counts), groups=(), constant=torch.zeros((), dtype=F64))
    batch = torch.tensor([scores, scores], dtype=F64)
    assert graph.best_labels(batch).tolist() == [best, best]


def test_only_the_factors_at_some_variables() -> None:
    part = GRAPH.touching(torch.tensor([False, False, True]))
    labels = torch.tensor([1, 2, 0])
    groups = [group.energies(labels).sum() for group in GRAPH.groups]
    assert [group.count for group in part.groups] == [1, 1]
    assert not torch.allclose(sum(groups, tensor(0.0)), part.energy(labels))
    unary, pair = (group.energies(labels)[-1] for group in GRAPH.groups)
    torch.testing.assert_close(part.energy(labels), unary + pair + 0.5)


def test_joined_graphs_keep_their_energies_moves_and_bounds_apart() -> None:
    first, second = GRAPH, view(random_energy([3, 2], seed=5), FactorGraph)
    joined = join([first, second])
    left, right = torch.tensor([1, 2, 0]), torch.tensor([2, 1])
    labels = torch.cat([left, right])
    torch.testing.assert_close(
        joined.energy(labels), torch.stack([first.energy(left), second.energy(right)])
    )
    torch.testing.assert_close(joined.bound(), torch.stack([first.bound(), second.bound()]))
    torch.testing.assert_close(
        joined.moves(labels), torch.cat([first.moves(left), second.moves(right)])
    )


def test_one_group_may_have_factors_of_several_problems() -> None:
    pairs = [((0, 1), torch.zeros(2, 2, dtype=F64)), ((2, 3), torch.ones(2, 2, dtype=F64))]
    alone = view(table_energy(torch.tensor([2, 2, 2, 2]), pairs), FactorGraph)
    both = replace(alone, segments=torch.tensor([0, 0, 1, 1]), constant=tensor(0.0, 0.0))
    assert len(both.groups) == 1
    assert both.energy(torch.tensor([0, 1, 0, 1])).tolist() == [0.0, 1.0]
    assert both.bound().tolist() == [0.0, 1.0]


def test_a_service_is_offered_by_all_groups_or_refused_by_name() -> None:
    assert GRAPH.serving("messages", MessageGroup) == GRAPH.groups
    assert GRAPH.serving("expectations", ExpectationGroup) == GRAPH.groups
    moves_only = view(random_energy([2, 2], serves=("moves",)), FactorGraph)
    with pytest.raises(ViewError, match="must serve 'messages', but Tables do not; choose"):
        moves_only.serving("messages", MessageGroup)
