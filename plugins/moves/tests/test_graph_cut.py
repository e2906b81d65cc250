"""`solver/graph-cut` against enumeration."""

from itertools import pairwise

import pytest
import torch
from plugins.moves.tests.problems import grid_edges, monge, normal, ordered_problem
from plugins.mrf.tests.random_problems import every_labelling

from groundstate.errors import ViewError
from groundstate.solving import solve
from groundstate.status import Status
from groundstate.unions import union
from groundstate_moves.graph_cut import GraphCut
from groundstate_mrf.factor_graph import factor_graph


@pytest.mark.parametrize("seed", range(60))
@pytest.mark.parametrize("labels", [2, 4])
def test_certified_minimum_of_submodular_problems(seed: int, labels: int) -> None:
    infinite = 0.2 * (seed % 2)
    energy = ordered_problem(seed, labels=labels, infinite=infinite)
    solution = solve(energy, GraphCut(), throw=False)
    _, values = every_labelling(energy)
    if not bool(values.min().isfinite()):
        assert int(solution.status) == Status.INFEASIBLE
        return
    assert int(solution.status) == Status.OPTIMAL
    torch.testing.assert_close(solution.energy, values.min(), rtol=1e-9, atol=1e-9)
    assert solution.bound is not None
    assert float(solution.bound) <= float(values.min()) + 1e-12


def test_names_the_edge_that_is_not_submodular() -> None:
    table = torch.tensor([[1.5, 0.0], [0.0, 0.0]])
    energy = factor_graph([2, 2, 2], [((0, 1), -table), ((2, 1), table)])
    with pytest.raises(ViewError, match=r"variables 2 and 1 exceeds it by 1\.5 nats"):
        solve(energy, GraphCut())


def test_forbidden_pairs_of_many_labels_are_refused() -> None:
    table = torch.tensor([[0.0, 0.0, float("inf")]] * 3)
    with pytest.raises(ViewError, match="must be finite"):
        solve(factor_graph([3, 3], [((0, 1), table)]), GraphCut())


def test_batches_and_unions_are_solved_one_by_one() -> None:
    rng = torch.Generator().manual_seed(0)
    tables = torch.stack([monge(rng, 3, 3) for _ in range(4)])
    costs = normal(rng, 4, 3)
    batch = factor_graph([3, 3], [((0,), costs), ((0, 1), tables)])
    solution = solve(batch, GraphCut())
    _, values = every_labelling(batch)
    torch.testing.assert_close(solution.energy, values.min(0).values)
    parts = [ordered_problem(seed, labels=3) for seed in (1, 2)]
    together = solve(union(parts), GraphCut())
    apart = torch.stack([solve(part, GraphCut()).energy for part in parts])
    torch.testing.assert_close(together.energy, apart)


def test_a_stopped_flow_bounds_and_goes_on() -> None:
    rng = torch.Generator().manual_seed(0)
    potts = 2 * (1 - torch.eye(2, dtype=torch.float64))
    factors = [((i,), normal(rng, 2)) for i in range(100)]
    energy = factor_graph([2] * 100, [*factors, *((e, potts) for e in grid_edges(10, 10))])
    best = solve(energy, GraphCut()).energy
    solver = GraphCut()
    state = solver.init(energy, None, torch.Generator())
    flow, lower = state.flows[0].numpy(), [state.lower[0]]
    finished = False
    while not finished:
        flow, _, finished = state.problems[0].ordered.cut.improve(flow, 1)
        lower.append(state.problems[0].ordered.cut.bound(flow))
    assert len(lower) > 3
    assert all(after >= before - 1e-9 for before, after in pairwise(lower))
    assert lower[-1] == pytest.approx(float(best), abs=1e-9)
