"""A recurrence of `solver/cg` that breaks down starts afresh, and goes on to the solution."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest
import torch
from plugins.gcrf.tests.crfs import normal
from plugins.gcrf.tests.systems import dense_energy, dense_of, generator, random_grid, spd
from torch import Tensor

from groundstate.solver import Deadline
from groundstate.status import Status
from groundstate.testing.typed import linear_solve
from groundstate_gcrf.conjugate_gradients import CGState, ConjugateGradients


@dataclass(frozen=True, kw_only=True)
class Failing:
    """Jacobi, whose answer to some calls is spoilt."""

    inverse: Tensor
    calls: frozenset[int]
    spoil: Callable[[Tensor], Tensor]
    done: list[int] = field(default_factory=lambda: [0])

    def apply(self, remainder: Tensor) -> Tensor:
        self.done[0] += 1
        answer = remainder * self.inverse
        return self.spoil(answer) if self.done[0] in self.calls else answer


def times(factor: float) -> Callable[[Tensor], Tensor]:
    return lambda z: z * factor


SPOILT = {
    "nan": times(float("nan")),
    "inf": times(float("inf")),
    "zero": times(0.0),
    "negative": times(-1.0),
}


class TestBreakdown:
    def run(self, spoil: Callable[[Tensor], Tensor], *calls: int) -> CGState:
        energy = dense_energy(spd(30, 3, 1e3), normal(1, 2, 30))
        solver = ConjugateGradients(tolerance=1e-10, check_every=20)
        failing = Failing(
            inverse=1 / energy.quadratic.diagonal, calls=frozenset(calls), spoil=spoil
        )
        with torch.no_grad():
            state = solver.begin(energy, None, failing)
            for _ in range(100):
                if not bool((solver.status(state) == Status.RUNNING).any()):
                    break
                state = solver.step(energy, state, Deadline())
        torch.testing.assert_close(state.x * 0, torch.zeros(2, 30).double())
        return state

    @pytest.mark.parametrize("spoil", SPOILT.values(), ids=list(SPOILT))
    def test_in_one_answer_of_the_preconditioner(self, spoil: Callable[[Tensor], Tensor]) -> None:
        state = self.run(spoil, 5, 30)
        assert state.recurrence.outcome.tolist() == [Status.CONVERGED] * 2

    def test_for_one_problem_leaves_the_other_alone(self) -> None:
        def spoil(z: Tensor) -> Tensor:
            return torch.stack([z[0] * float("nan"), z[1]])

        untouched = self.run(times(1.0))
        state = self.run(spoil, 5)
        assert state.recurrence.outcome.tolist() == [Status.CONVERGED] * 2
        assert torch.equal(state.x[1], untouched.x[1])

    def test_that_never_ends_is_told(self) -> None:
        for spoil, status in (("nan", Status.DIVERGED), ("zero", Status.STALLED)):
            state = self.run(SPOILT[spoil], *range(1, 200))
            assert state.recurrence.outcome.tolist() == [status] * 2

    def test_lost_conjugacy_is_noticed_by_the_true_residual(self) -> None:
        energy = random_grid(1, height=12, width=12, diagonal=1e-3)
        solver = ConjugateGradients(tolerance=1e-10, check_every=4)
        with torch.no_grad():
            state = solver.step(energy, solver.init(energy, None, generator(0)), Deadline())
            broken = replace(state.recurrence, remainder=1e-3 * state.recurrence.remainder)
            state = solver.step(energy, replace(state, recurrence=broken), Deadline())
            assert float(state.recurrence.beta) == 0.0
            while int(solver.status(state)) == Status.RUNNING:
                state = solver.step(energy, state, Deadline())
        assert int(solver.status(state)) == Status.CONVERGED

    def test_compiled_code_restarts_too(self) -> None:
        energy = random_grid(1, height=12, width=12, diagonal=1e-3)
        solver = ConjugateGradients(tolerance=1e-10, check_every=4)
        with torch.no_grad():
            state = solver.step(energy, solver.init(energy, None, generator(0)), Deadline())
            lost = replace(state.recurrence, direction=state.recurrence.direction * float("nan"))
            state = solver.step(energy, replace(state, recurrence=lost), Deadline())
            assert int(state.recurrence.iterations) == 4 and float(state.recurrence.beta) == 0.0
            while int(solver.status(state)) == Status.RUNNING:
                state = solver.step(energy, state, Deadline())
        assert int(solver.status(state)) == Status.CONVERGED
        torch.testing.assert_close(
            state.x.flatten(), linear_solve(dense_of(energy), energy.quadratic.linear.flatten())
        )
