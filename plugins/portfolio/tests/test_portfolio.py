"""The portfolio finds what brute force finds, says what it chose, and lets others join."""

from dataclasses import dataclass
from typing import Any

import pytest
import torch
from plugins.mrf.tests.random_problems import every_labelling, random_problem
from torch import Tensor

import groundstate as gs
from groundstate import Component
from groundstate.energy import Energy, view
from groundstate.factors import FactorGraph
from groundstate.solver import Deadline, State
from groundstate.status import Status
from groundstate_mrf.factor_graph import FactorGraphEnergy, factor_graph, potts_edges
from groundstate_portfolio.auto_discrete import AutoDiscrete
from groundstate_portfolio.cached import Cached, Memory, Solved, difference, still_optimal
from groundstate_portfolio.facts import facts_of
from groundstate_portfolio.plan import exact, improving


def normal(*shape: int, seed: int = 0) -> Tensor:
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=rng, dtype=torch.float64)


def ring(costs: Tensor, weights: Tensor) -> FactorGraphEnergy:
    """A cycle of Potts factors."""
    n, labels = costs.shape
    counts = torch.full((n,), labels)
    edges = torch.tensor([[i, (i + 1) % n] for i in range(n)])
    return factor_graph(
        counts, [((i,), costs[i]) for i in range(n)], potts_edges(counts, edges, weights)
    )


class TestAutoDiscrete:
    @pytest.mark.parametrize("seed", range(12))
    def test_reaches_the_optimum_and_never_claims_less(self, seed: int) -> None:
        energy = random_problem(seed, variables=6, infinite=0.1 * (seed % 3))
        lowest = every_labelling(energy)[1].amin(0)
        solution = gs.solve(energy, AutoDiscrete(), throw=False)
        if bool(lowest.isinf()):
            assert int(solution.status) in (Status.INFEASIBLE, Status.VIOLATING)
            return
        torch.testing.assert_close(solution.energy, lowest)
        assert solution.bound is not None and bool(solution.bound <= lowest + 1e-9)

    def test_tells_what_it_chose_and_who_refused(self) -> None:
        energy = ring(normal(40, 3), normal(40, seed=1))
        solution = gs.solve(energy, AutoDiscrete(restarts=0))
        assert {"problem", "solver", "why"} <= set(solution.stats)
        assert "40 variables of up to 3 labels, 40 factors of up to 2" in str(
            solution.stats["problem"]
        )

    def test_a_seed_repeats_it(self) -> None:
        energy = ring(normal(40, 3), normal(40, seed=1))
        first, second = (gs.solve(energy, AutoDiscrete(restarts=2), seed=3) for _ in range(2))
        assert torch.equal(first.x, second.x) and first.steps == second.steps

    def test_restarts_leave_a_local_minimum(self) -> None:
        """From all zeros no single move helps, and two do."""
        tables = torch.tensor([[0.0, 2.0], [2.0, -1.0]], dtype=torch.float64)
        energy = factor_graph([2, 2], [((0, 1), tables)])
        solver = AutoDiscrete(solvers=("solver/icm",), restarts=16, disturbed=1.0)
        start = torch.zeros(2, dtype=torch.int64)
        assert float(gs.solve(energy, solver, start).energy) == -1.0
        stuck = AutoDiscrete(solvers=("solver/icm",), restarts=0)
        assert float(gs.solve(energy, stuck, start).energy) == 0.0

    def test_what_is_not_there_is_told(self) -> None:
        energy = ring(normal(5, 2), normal(5, seed=1))
        solution = gs.solve(energy, AutoDiscrete(solvers=("solver/nobody", "solver/icm")))
        assert "solver/nobody" in str(solution.stats["refused: solver/nobody"])
        assert int(solution.status) in (Status.CONVERGED, Status.OPTIMAL)


@dataclass(frozen=True)
class Stranger:
    """Somebody else's solver; it stays where it is."""

    def init(self, energy: Energy, x0: Tensor | None, rng: torch.Generator) -> State:
        assert x0 is not None
        return State(x=x0)

    def step(self, energy: Energy, state: State, deadline: Deadline) -> State:
        return state

    def status(self, state: State) -> Tensor:
        return torch.full((), int(Status.CONVERGED))


class TestPlan:
    def plan(self, *components: Component) -> list[str]:
        registry = gs.load(warn=False)
        for component in components:
            registry = registry.with_component(component)
        graph = view(ring(normal(40, 3), normal(40, seed=1)), FactorGraph)
        views = frozenset({"FactorGraph"})
        return [each.key for each in improving(facts_of(graph), views, registry)]

    def test_strangers_join_by_what_they_need(self) -> None:
        def stranger(name: str, *claims: str, needs: tuple[str, ...]) -> Component:
            return Component(
                kind="solver",
                name=name,
                target=Stranger,
                summary="stays where it is",
                needs=needs,
                claims=claims,
                examples=lambda: [Stranger()],
            )

        before = self.plan()
        after = self.plan(
            stranger("their-own", needs=("FactorGraph",)),
            stranger("of-matrices", needs=("Quadratic",)),
        )
        assert [key for key in after if key not in before] == ["solver/their-own"]

    def test_small_problems_are_looked_at_whole(self) -> None:
        registry = gs.load(warn=False)
        small = facts_of(view(ring(normal(4, 2), normal(4)), FactorGraph))
        large = facts_of(view(ring(normal(40, 3), normal(40)), FactorGraph))
        assert "solver/brute-force" in [each.key for each in exact(small, registry)]
        assert "solver/brute-force" not in [each.key for each in exact(large, registry)]


class TestCached:
    def test_an_answer_is_reused_where_it_is_proved(self) -> None:
        costs, weights = normal(6, 3), normal(6, seed=1)
        memory = Memory()
        solver = Cached(solver="solver/brute-force", memory=memory)
        first = gs.solve(ring(costs, weights), solver)
        chosen = torch.nn.functional.one_hot(first.x, 3).bool()
        again = ring(torch.where(chosen, costs - 1.0, costs + 0.5), weights)
        second = gs.solve(again, solver)
        assert memory.reused == 1 and torch.equal(first.x, second.x)
        assert int(second.status) == Status.OPTIMAL
        torch.testing.assert_close(second.energy, every_labelling(again)[1].amin())

    @pytest.mark.parametrize("seed", range(30))
    def test_the_test_never_lies(self, seed: int) -> None:
        """Small changes: where it says the labels are still the best, brute force agrees."""
        energy = random_problem(seed, variables=4, order=2, counting=True)
        labels, energies = every_labelling(energy)
        known = Solved(graph=energy.graph, labels=labels[energies.argmin()])
        moved = _changed(energy, 0.3, seed)
        if still_optimal(known, moved.graph):
            found = every_labelling(moved)[1].amin()
            torch.testing.assert_close(moved(known.labels), found)

    def test_other_factors_other_problem(self) -> None:
        one, other = ring(normal(4, 2), normal(4)), ring(normal(5, 2), normal(5))
        assert not still_optimal(Solved(graph=one.graph, labels=torch.zeros(4).long()), other.graph)
        assert difference(one.groups[0], one.groups[1]) is None

    def test_what_becomes_allowed_ends_the_proof(self) -> None:
        costs, weights = normal(3, 2), normal(3, seed=1)
        closed = costs.clone()
        closed[0, 0] = float("inf")
        known = gs.solve(ring(closed, weights), Cached(solver="solver/brute-force"))
        solved = Solved(graph=ring(closed, weights).graph, labels=known.x)
        assert still_optimal(solved, ring(closed, weights).graph)
        assert not still_optimal(solved, ring(costs, weights).graph)

    def test_the_oldest_is_forgotten(self) -> None:
        memory = Memory(capacity=1)
        solver: Any = Cached(solver="solver/brute-force", memory=memory)
        for seed in range(3):
            gs.solve(ring(normal(4, 2, seed=seed), normal(4, seed=9 + seed)), solver)
        assert len(memory.solved) == 1


def _changed(energy: FactorGraphEnergy, size: float, seed: int) -> FactorGraphEnergy:
    """The same factors with other numbers."""
    rng = torch.Generator().manual_seed(seed + 1)
    groups: list[Any] = []
    for group in energy.groups:
        name = next(n for n in ("tables", "weights", "values") if n in group.__dataclass_fields__)  # type: ignore
        before: Tensor = getattr(group, name)
        noise = size * torch.randn(before.shape, generator=rng, dtype=before.dtype)
        groups.append(_replaced(group, name, before + noise))
    return factor_graph(energy.counts, [], *groups, constant=energy.constant)


def _replaced(group: Any, name: str, values: Tensor) -> Any:
    fields = {key: getattr(group, key) for key in group.__dataclass_fields__}
    return type(group)(**{**fields, name: values})
