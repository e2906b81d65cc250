"""Distances between labels as factors, and pairwise problems as flat arrays: against the energy."""

import numpy as np
import pytest
import torch
from plugins.mrf.tests.random_problems import every_labelling, random_problem

import groundstate as gs
from groundstate.energy import view
from groundstate.errors import ViewError
from groundstate.factors import FactorGraph
from groundstate_mrf.factor_graph import FactorGraphEnergy, factor_graph, potts_edges
from groundstate_mrf.flat import flat_problems, join_labels, split_labels
from groundstate_mrf.groups.distance import (
    DistanceGroup,
    distance_edges,
    truncated_linear,
    truncated_quadratic,
)

COUNTS = torch.tensor([3, 3, 3, 2])
EDGES = torch.tensor([[0, 1], [1, 2], [2, 0]])


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=rng, dtype=torch.float64)


def with_distances(batch: tuple[int, ...] = ()) -> tuple[FactorGraphEnergy, FactorGraphEnergy]:
    """The same energy with distances, and with their tables written out."""
    table, weights = normal(3, 3, seed=1), normal(*batch, 3, seed=2)
    unary = [((i,), normal(*batch, int(n), seed=3 + i)) for i, n in enumerate(COUNTS)]
    more = [((3, 0), normal(*batch, 2, 3, seed=9))]
    group = distance_edges(COUNTS, EDGES, weights, table)
    pairs = [
        ((int(i), int(j)), weights[..., e, None, None] * table) for e, (i, j) in enumerate(EDGES)
    ]
    constant = normal(*batch, seed=20)
    compact = factor_graph(COUNTS, [*unary, *more], group, constant=constant)
    return compact, factor_graph(COUNTS, [*unary, *more, *pairs], constant=constant)


class TestDistanceGroup:
    @pytest.mark.parametrize("batch", [(), (2,)])
    def test_energies_moves_and_bound_are_those_of_the_tables(self, batch: tuple[int, ...]) -> None:
        compact, full = with_distances(batch)
        labels, energies = every_labelling(full)
        torch.testing.assert_close(compact(labels), energies)
        here, there = view(compact, FactorGraph), view(full, FactorGraph)
        torch.testing.assert_close(here.moves(labels), there.moves(labels))
        assert bool((here.bound() <= energies.amin(0) + 1e-12).all())

    @pytest.mark.parametrize("temperature", [0.0, 0.7])
    def test_messages_and_expectations_are_those_of_the_tables(self, temperature: float) -> None:
        table, weights = normal(3, 3, seed=1), normal(3, seed=2)
        group = distance_edges(COUNTS, EDGES, weights, table)
        full = factor_graph(
            COUNTS,
            [((int(i), int(j)), weights[e] * table) for e, (i, j) in enumerate(EDGES)],
        ).groups[0]
        incoming = normal(5, 18, seed=4)
        assert isinstance(group, DistanceGroup)
        torch.testing.assert_close(
            group.messages(incoming, temperature),
            full.messages(incoming, temperature),  # type: ignore
        )
        beliefs = normal(5, 11, seed=5).exp()
        for name in ("expected_moves", "expected_energies"):
            found, expected = getattr(group, name)(beliefs), getattr(full, name)(beliefs)
            torch.testing.assert_close(found, expected)

    def test_metrics_are_those_of_the_definition(self) -> None:
        assert truncated_linear(4, 2.0)[0].tolist() == [0.0, 1.0, 2.0, 2.0]
        assert truncated_quadratic(4, 5.0)[3].tolist() == [5.0, 4.0, 1.0, 0.0]

    def test_wrong_tables_and_infinities_are_refused(self) -> None:
        with pytest.raises(ValueError, match="a row and a column"):
            distance_edges(COUNTS, EDGES, normal(3), normal(2, 2))
        with pytest.raises(ValueError, match="finite"):
            distance_edges(COUNTS, EDGES, torch.full((3,), float("inf")), torch.ones(3, 3))


class TestFlat:
    @pytest.mark.parametrize("seed", range(10))
    def test_energies_of_random_problems(self, seed: int) -> None:
        energy = random_problem(seed, order=2, infinite=0.2, counting=False)
        pairwise = factor_graph(energy.counts, [], *energy.groups, constant=energy.constant)
        graph = pairwise.graph
        (flat,) = flat_problems(graph, ())
        labels, energies = every_labelling(pairwise)
        found = [flat.energy(each) for each in split_labels(graph, labels)]
        np.testing.assert_allclose(found, energies.numpy(), rtol=1e-12, atol=1e-12)

    def test_batches_grids_and_distances(self) -> None:
        compact, _ = with_distances((2, 3))
        flats = flat_problems(compact.graph, (2, 3))
        labels, energies = every_labelling(compact)
        rows = split_labels(compact.graph, labels)
        found = [flats[k % 6].energy(row) for k, row in enumerate(rows)]
        np.testing.assert_allclose(found, energies.numpy().reshape(-1), rtol=1e-12)
        assert torch.equal(join_labels(compact.graph, rows, labels), labels)
        assert len(flats[0].tables) == 9 + 6  # one table for all distances

    def test_a_union_is_cut_into_its_problems(self) -> None:
        first, _ = with_distances()
        two = torch.tensor([2, 2])
        edges = potts_edges(two, torch.tensor([[0, 1]]), normal(1, seed=7))
        second = factor_graph(two, [((0,), normal(2, seed=8))], edges, dtype=torch.float64)
        union = gs.union([first, second])
        graph = view(union, FactorGraph)
        flats = flat_problems(graph, union.space.layout.batch_shape)
        labels = torch.tensor([[0, 2, 1, 1, 0, 1], [2, 2, 0, 0, 1, 1]])
        rows = split_labels(graph, labels)
        found = [flats[k % 2].energy(row) for k, row in enumerate(rows)]
        np.testing.assert_allclose(found, union(labels).numpy().reshape(-1), rtol=1e-12)
        assert torch.equal(join_labels(graph, rows, labels), labels)

    def test_edges_of_each_variable(self) -> None:
        compact, _ = with_distances()
        (flat,) = flat_problems(compact.graph, ())
        begin, edges = flat.incident
        for i in range(4):
            own = set(edges[begin[i] : begin[i + 1]].tolist())
            assert own == {e for e, pair in enumerate(flat.edges.tolist()) if i in pair}

    def test_higher_orders_are_refused(self) -> None:
        energy = factor_graph([2, 2, 2], [((0, 1, 2), torch.zeros(2, 2, 2))])
        with pytest.raises(ViewError, match="at most two variables"):
            flat_problems(energy.graph, ())
