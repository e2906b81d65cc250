"""The loop: budget, status, incumbent, trace, resume, gradients, interrupts."""

import os
import signal
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from tests.toys import F64, Descent, Scripted, Walk, always, bowl, table, tensor
from torch import Tensor

import groundstate as gs
from groundstate.adapter import Adapted
from groundstate.energy import Energy, FunctionEnergy
from groundstate.errors import GradientError, ViewError
from groundstate.solver import Deadline, State
from groundstate.space import Discrete, Real
from groundstate.status import Status

SQUARE = FunctionEnergy(function=lambda x: (x**2).sum(-1), space=Real(event_shape=(1,), dtype=F64))


def scripted(*values: float, **claims: Any) -> Scripted:
    return Scripted(xs=tensor(*values)[:, None], **claims)


def test_minimises_and_tells_all() -> None:
    solution = gs.solve(bowl(tensor(1.0, -2.0)), Descent())
    torch.testing.assert_close(solution.x, tensor(1.0, -2.0))
    assert float(solution.energy) == pytest.approx(-2.5)
    assert solution.energy.dtype == F64
    assert solution.status == Status.CONVERGED
    assert bool(solution.ok)
    assert solution.bound is None
    assert solution.gap is None
    assert solution.steps == solution.trace[-1].step > 1
    assert 0 < solution.trace[-1].seconds <= solution.seconds


def test_status_and_best_are_per_configuration() -> None:
    xs = tensor([[3.0], [1.0]], [[1.0], [2.0]], [[2.0], [0.5]], [[4.0], [4.0]])
    energy = FunctionEnergy(
        function=SQUARE.function, space=Real(event_shape=(1,), batch_shape=(2,), dtype=F64)
    )
    done = torch.tensor([int(Status.CONVERGED), int(Status.STALLED)])
    solution = gs.solve(energy, Scripted(xs=xs, done=done))
    # steps 0, 1, 2 and the last are looked at; the best of each is kept
    assert solution.x.tolist() == [[1.0], [0.5]]
    assert solution.energy.tolist() == [1.0, 0.25]
    assert solution.status.tolist() == [Status.CONVERGED, Status.STALLED]


def test_the_budget_ends_only_what_is_still_running() -> None:
    energy = bowl(tensor([1.0], [1.0]), tensor([2.0], [0.01]))  # rate ½: one step, and many
    solution = gs.solve(energy, Descent(), steps=5)
    assert solution.status.tolist() == [Status.CONVERGED, Status.OUT_OF_STEPS]
    assert solution.steps == 5
    assert bool(solution.ok.all())


def test_the_trace_doubles_and_then_goes_on_evenly() -> None:
    told: list[int] = []
    solution = gs.solve(
        SQUARE, Walk(), steps=27, record_every=8, on_record=lambda record: told.append(record.step)
    )
    assert [record.step for record in solution.trace] == [0, 1, 2, 4, 8, 16, 24, 27]
    assert told == [0, 1, 2, 4, 8, 16, 24, 27]


def test_the_trace_is_regular_where_the_interval_is_no_power_of_two() -> None:
    solution = gs.solve(SQUARE, Walk(), steps=20, record_every=6)
    assert [record.step for record in solution.trace] == [0, 1, 2, 4, 6, 12, 18, 20]


def test_zero_steps_returns_the_start() -> None:
    start = tensor(7.0)
    solution = gs.solve(SQUARE, Walk(), start, steps=0)
    assert solution.x.tolist() == [7.0]
    assert solution.status == Status.OUT_OF_STEPS
    assert [record.step for record in solution.trace] == [0]


def test_zero_seconds_returns_the_start() -> None:
    solution = gs.solve(SQUARE, Walk(), tensor(7.0), seconds=0)
    assert solution.steps == 0
    assert solution.status == Status.OUT_OF_TIME
    assert solution.x.tolist() == [7.0]


def test_a_solver_that_is_done_at_once_does_no_step() -> None:
    solution = gs.solve(SQUARE, scripted(2.0), steps=0)
    assert solution.status == Status.CONVERGED
    assert solution.steps == 0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"steps": -1}, "steps must be at least 0"),
        ({"record_every": 0}, "record_every at least 1"),
        ({"seconds": -1.0}, "seconds must be at least 0"),
        ({"seconds": float("nan")}, "seconds must be at least 0"),
    ],
)
def test_a_budget_that_is_none_is_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        gs.solve(SQUARE, Walk(), **options)


def test_going_on_from_a_state_equals_not_having_stopped() -> None:
    whole = gs.solve(SQUARE, Walk(), steps=20, seed=3)
    half = gs.solve(SQUARE, Walk(), steps=9, seed=3)
    rest = gs.solve(SQUARE, Walk(), steps=11, state=half.state)
    assert torch.equal(rest.state.x, whole.state.x)
    assert whole.state.rng is not None and rest.state.rng is not None
    assert torch.equal(rest.state.rng, whole.state.rng)


def test_the_seed_decides() -> None:
    first, again, other = (gs.solve(SQUARE, Walk(), steps=3, seed=s) for s in (1, 1, 2))
    assert torch.equal(first.state.x, again.state.x)
    assert not torch.equal(first.state.x, other.state.x)


@dataclass(frozen=True, kw_only=True)
class Vandal:
    """Writes to where it should start."""

    def init(self, energy: Energy, x0: Tensor | None, rng: torch.Generator) -> State:
        assert x0 is not None
        return State(x=x0.fill_(5.0))

    def step(self, energy: Energy, state: State, deadline: Deadline) -> State:
        return State(x=state.x.add_(1.0))

    def status(self, state: State) -> Tensor:
        return torch.tensor(int(Status.RUNNING))


def test_nobody_can_write_to_the_start() -> None:
    start = tensor(1.0)
    gs.solve(SQUARE, Vandal(), start, steps=3)
    assert start.tolist() == [1.0]


@pytest.mark.parametrize(
    ("start", "error", "words"),
    [
        (torch.zeros(1), TypeError, "torch.float64"),
        (torch.zeros(2, dtype=F64), ValueError, r"ends in \(1,\)"),
    ],
)
def test_the_start_must_be_a_configuration(start: Tensor, error: type, words: str) -> None:
    with pytest.raises(error, match=words):
        gs.solve(SQUARE, Walk(), start)


def test_a_label_out_of_range_is_refused_before_anything_runs() -> None:
    with pytest.raises(ValueError, match="3 labels, got 3"):
        gs.solve(table([1.0, 2.0, 3.0]), Vandal(), torch.tensor([3]))


def test_what_is_not_finite_has_diverged_and_raises_with_the_solution() -> None:
    with pytest.raises(gs.SolveError, match=r"Scripted: diverged\. Values are no longer") as caught:
        gs.solve(SQUARE, scripted(2.0, float("nan")))
    solution = caught.value.solution
    assert solution.status == Status.DIVERGED
    assert solution.x.tolist() == [2.0]
    assert not bool(solution.ok)


def test_a_value_that_the_energy_does_not_see_has_diverged_too() -> None:
    blind = FunctionEnergy(
        function=lambda x: x[..., 0] ** 2, space=Real(event_shape=(2,), dtype=F64)
    )
    solver = Scripted(xs=torch.tensor([[2.0, 0.0], [1.0, float("nan")]], dtype=F64))
    with pytest.raises(gs.SolveError, match="diverged"):
        gs.solve(blind, solver)


@pytest.mark.parametrize("lost", [1e200, float("inf"), float("nan")])
def test_the_best_outlives_what_overflows_after_it(lost: float) -> None:
    start = tensor([1.0, 1.0])
    overflowing = Scripted(xs=torch.cat([start, torch.full((2, 2), lost, dtype=F64)]))
    solution = gs.solve(bowl(tensor(1.0, 1.0)), overflowing, throw=False)
    assert solution.x.tolist() == [1.0, 1.0]
    assert float(solution.energy) == -1.0


def test_rises_too_small_to_see_do_not_add_up() -> None:
    level = FunctionEnergy(function=lambda x: 1e6 + x[..., 0], space=SQUARE.space)
    ramp = scripted(*(step * 4e-4 for step in range(40)))  # rounding at 1e6 is taken to be 1e-3
    assert float(gs.solve(level, ramp, record_every=1).energy) <= 1e6 + 1e-3


def test_a_bound_lies_below_the_energy_to_the_last_bit() -> None:
    solution = gs.solve(SQUARE, scripted(1.0, bound=always(1.0 + 1e-12)))
    assert solution.bound is not None
    assert float(solution.bound) <= float(solution.energy)


def test_a_solver_may_start_at_what_is_not_finite() -> None:
    solution = gs.solve(SQUARE, scripted(float("nan"), 3.0, 2.0))
    assert solution.status == Status.CONVERGED
    assert solution.x.tolist() == [2.0]


def test_without_throw_there_is_always_a_solution() -> None:
    solution = gs.solve(SQUARE, scripted(float("nan")), throw=False)
    assert solution.status == Status.DIVERGED


@pytest.mark.parametrize("status", [Status.INFEASIBLE, Status.INDEFINITE])
def test_no_answer_raises(status: Status) -> None:
    with pytest.raises(gs.SolveError, match=status.label):
        gs.solve(SQUARE, scripted(1.0, done=torch.tensor(int(status))))


def test_advice_counts_the_problems_of_a_batch() -> None:
    energy = FunctionEnergy(
        function=SQUARE.function, space=Real(event_shape=(1,), batch_shape=(2,), dtype=F64)
    )
    done = torch.tensor([int(Status.CONVERGED), int(Status.INDEFINITE)])
    with pytest.raises(gs.SolveError, match=r"1 of 2: converged\..*1 of 2: indefinite\."):
        gs.solve(energy, Scripted(xs=torch.zeros(1, 2, 1, dtype=F64), done=done))


def test_an_energy_of_another_shape_is_told_both_shapes() -> None:
    energy = FunctionEnergy(function=lambda x: x**2, space=SQUARE.space)
    with pytest.raises(ValueError, match=r"one number per configuration.*\(\), got \(1,\)"):
        gs.solve(energy, Walk(), steps=1)


def test_an_energy_without_the_view_says_what_it_gives() -> None:
    with pytest.raises(ViewError, match="view Quadratic is needed, but FunctionEnergy gives: none"):
        gs.solve(SQUARE, Descent())


@dataclass(frozen=True, kw_only=True)
class Endless:
    """Counts up within its one step until the deadline."""

    def init(self, energy: Energy, x0: Tensor | None, rng: torch.Generator) -> State:
        return State(x=tensor(0.0))

    def step(self, energy: Energy, state: State, deadline: Deadline) -> State:
        x = state.x
        while not deadline.passed:
            x = x + 1.0
        return State(x=x)

    def status(self, state: State) -> Tensor:
        return torch.tensor(int(Status.RUNNING))


def test_a_step_that_ran_out_of_time_can_be_repeated() -> None:
    first = gs.solve(SQUARE, Endless(), seconds=0.01)
    assert first.steps == 1
    assert first.state.x.item() > 0
    assert first.cut == first.state.x.item() + 1
    again = gs.solve(SQUARE, Endless(), steps=1, cut=first.cut)
    assert torch.equal(again.state.x, first.state.x)
    assert again.cut == first.cut
    assert gs.solve(SQUARE, Walk(), steps=3, seconds=100.0).cut is None


# interrupts


def press(number: int, at: int) -> Any:
    def during(step: int) -> None:
        if step == at:
            signal.raise_signal(number)

    return during


def test_ctrl_c_keeps_the_best_where_asked() -> None:
    solver = scripted(3.0, 1.0, 2.0, 0.0, during=press(signal.SIGINT, 3))
    solution = gs.solve(SQUARE, solver, keep_interrupted=True)
    assert solution.status == Status.INTERRUPTED
    assert solution.x.tolist() == [1.0]
    assert solution.steps == 2


def test_ctrl_c_raises_where_not_asked() -> None:
    with pytest.raises(KeyboardInterrupt):
        gs.solve(SQUARE, scripted(3.0, 1.0, during=press(signal.SIGINT, 1)))


def test_ctrl_c_while_the_result_is_checked_costs_nothing() -> None:
    calls = 0

    def slow(x: Tensor) -> Tensor:
        nonlocal calls
        calls += 1
        if calls == 3:  # steps 0 and 1 are recorded, then the core computes the energy in float64
            os.kill(os.getpid(), signal.SIGINT)
        return (x**2).sum(-1)

    energy = FunctionEnergy(function=slow, space=Real(event_shape=(1,)))
    solver = Scripted(xs=torch.tensor([[3.0], [1.0]]))
    solution = gs.solve(energy, solver, keep_interrupted=True)
    assert calls >= 3
    assert solution.x.tolist() == [1.0]


# adapters


@dataclass(frozen=True, kw_only=True)
class Halves:
    """x stands for labels: 0 below ½, 1 above."""

    bound_transfers: bool

    def adapt(self, energy: Energy) -> Adapted:
        return Adapted(
            energy=bowl(tensor(1.0)),
            decode=lambda x: (x > 0.5).long(),
            bound_transfers=self.bound_transfers,
        )


@pytest.mark.parametrize("transfers", [True, False])
def test_through_an_adapter_the_answer_is_in_the_users_space(transfers: bool) -> None:
    energy = table([4.0, 3.0])
    solver = scripted(0.0, 1.0, bound=always(2.0))
    if transfers:
        solver = scripted(0.0, 1.0, bound=always(-0.5))
    solution = gs.solve(energy, solver, through=Halves(bound_transfers=transfers))
    assert solution.x.tolist() == [1]
    assert float(solution.energy) == 3.0
    assert (None if solution.bound is None else float(solution.bound)) == (
        -0.5 if transfers else None
    )
    assert [float(record.energy) for record in solution.trace] == [4.0, 3.0]
    assert isinstance(energy.space, Discrete)


def test_a_start_is_in_the_space_of_the_solver() -> None:
    solution = gs.solve(
        table([4.0, 3.0]), Descent(), tensor(0.75), steps=0, through=Halves(bound_transfers=False)
    )
    assert solution.x.tolist() == [1]


# gradients


def test_gradients_are_refused_where_there_are_none() -> None:
    with pytest.raises(GradientError, match="gives the view Quadratic; FunctionEnergy does not"):
        gs.solve(SQUARE, Walk(), gradient="implicit")
    with pytest.raises(GradientError, match="cannot pass through an adapter"):
        gs.solve(
            bowl(tensor(1.0)),
            Descent(),
            gradient="implicit",
            through=Halves(bound_transfers=False),
        )
    fixed = scripted(1.0)
    with pytest.raises(GradientError, match="Scripted gives no unrolled gradient"):
        gs.solve(SQUARE, fixed, gradient="unrolled")


@pytest.mark.parametrize("gradient", ["implicit", "unrolled"])
def test_both_gradients_are_those_of_the_minimiser(gradient: Any) -> None:
    a, b = tensor(2.0, 4.0).requires_grad_(), tensor(1.0, 3.0).requires_grad_()
    x = gs.solve(bowl(b, a), Descent(rate=0.3), gradient=gradient).x
    da, db = torch.autograd.grad((x * tensor(1.0, 10.0)).sum(), (a, b))
    # x = b / a, so dx/db = 1 / a and dx/da = -b / a²
    torch.testing.assert_close(db, tensor(1.0, 10.0) / a.detach(), rtol=1e-8, atol=1e-10)
    torch.testing.assert_close(da, -tensor(1.0, 10.0) * (b / a**2).detach(), rtol=1e-8, atol=1e-10)


def test_without_a_gradient_nothing_carries_a_graph() -> None:
    b = tensor(1.0).requires_grad_()
    solution = gs.solve(bowl(b), Descent())
    assert not solution.x.requires_grad
    assert not solution.energy.requires_grad
