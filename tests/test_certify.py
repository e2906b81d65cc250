"""What a solver claims is held to the energy; a liar is named."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from tests.toys import F64, Scripted, always, bowl, each, table, tensor
from torch import Tensor

import groundstate as gs
from groundstate.certify import exact_energy, magnitude, rounding
from groundstate.energy import FunctionEnergy, QuadraticEnergy, Views, view
from groundstate.errors import CertificationError
from groundstate.factors import FactorGraph
from groundstate.solver import Beliefs
from groundstate.space import Discrete, Real
from groundstate.status import Status
from groundstate.views import Quadratic

SQUARE = FunctionEnergy(function=lambda x: (x**2).sum(-1), space=Real(event_shape=(1,), dtype=F64))
INF, NAN = float("inf"), float("nan")


def scripted(*values: float, **claims: Any) -> Scripted:
    return Scripted(xs=tensor(*values)[:, None], **claims)


@pytest.mark.parametrize("claimed", [0.5, 1.5, -INF, INF, NAN])
def test_a_claimed_energy_must_be_the_energy(claimed: float) -> None:
    with pytest.raises(CertificationError, match=r"Scripted claims an energy of .* against 1;"):
        gs.solve(SQUARE, scripted(2.0, 1.0, energy=always(claimed)))


def test_a_true_energy_passes_within_rounding() -> None:
    assert float(gs.solve(SQUARE, scripted(1.0, energy=always(1 + 1e-12))).energy) == 1.0


def test_a_finite_claim_where_the_energy_is_infinite_is_refused() -> None:
    energy = table([INF, 1.0])
    liar = Scripted(xs=torch.tensor([[0]]), energy=always(3.0))
    with pytest.raises(CertificationError, match="energy of 3, but it is checked against inf"):
        gs.solve(energy, liar)
    honest = Scripted(xs=torch.tensor([[0]]), energy=always(INF))
    assert float(gs.solve(energy, honest).energy) == INF


@pytest.mark.parametrize("at", [0, 1, 2])
def test_a_bound_above_the_energy_is_refused_whenever_it_was_claimed(at: int) -> None:
    def bound(step: int) -> Tensor:
        return torch.tensor(1.5 if step == at else 0.0, dtype=F64)

    with pytest.raises(CertificationError, match=r"Scripted claims a lower bound .* of 1\.5"):
        gs.solve(SQUARE, scripted(3.0, 2.0, 1.0, bound=bound))


def test_the_best_bound_is_kept() -> None:
    bounds = [0.2, 0.9, 0.5]
    solution = gs.solve(SQUARE, scripted(3.0, 2.0, 1.0, bound=each(*bounds)))
    assert solution.bound is not None and solution.gap is not None
    assert float(solution.bound) == 0.9
    assert float(solution.gap) == pytest.approx(0.1)


def test_a_bound_that_is_no_number_bounds_nothing() -> None:
    bounds = [0.2, NAN]
    solution = gs.solve(SQUARE, scripted(3.0, 1.0, bound=each(*bounds)))
    assert solution.bound is not None
    assert float(solution.bound) == 0.2


def test_a_liar_does_not_hide_behind_what_diverged() -> None:
    energy = FunctionEnergy(
        function=SQUARE.function, space=Real(event_shape=(1,), batch_shape=(2,), dtype=F64)
    )
    liar = Scripted(
        xs=tensor([[NAN], [1.0]]),
        done=torch.full((2,), int(Status.CONVERGED)),
        bound=each([0.0, 5.0]),
    )
    with pytest.raises(CertificationError, match=r"of 5 for configuration \(1,\)"):
        gs.solve(energy, liar, throw=False)


def test_optimal_means_that_nothing_seen_is_lower() -> None:
    liar = scripted(1.0, 2.0, done=torch.tensor(int(Status.OPTIMAL)))
    with pytest.raises(CertificationError, match=r"claims an optimal energy of 4.* against 1;"):
        gs.solve(SQUARE, liar)


@pytest.mark.parametrize("claimed", [1e-12, 0.0, NAN])
def test_a_claimed_residual_must_be_the_residual(claimed: float) -> None:
    energy = bowl(tensor(2.0))  # at x = 1: ‖b - Ax‖ / ‖b‖ = ½
    with pytest.raises(CertificationError, match=r"relative residual of .* against 0\.5"):
        gs.solve(energy, scripted(0.0, 1.0, residual=always(claimed)))
    gs.solve(energy, scripted(0.0, 1.0, residual=always(0.5)))


def test_one_honest_problem_does_not_excuse_the_residual_of_another() -> None:
    energy = bowl(torch.full((2, 1), 2.0, dtype=F64))  # at x = 1: ½ for both
    xs = torch.ones(1, 2, 1, dtype=F64)
    honest, liar = (
        Scripted(xs=xs, residual=each([0.5, 0.5])),
        Scripted(xs=xs, residual=each([0.5, 1e-6])),
    )
    gs.solve(energy, honest)
    with pytest.raises(CertificationError, match=r"residual of 1e-06 for configuration \(1,\)"):
        gs.solve(energy, liar)


def test_a_residual_may_be_claimed_up_to_a_factor_of_two() -> None:
    energy = bowl(tensor(2.0))  # at x = 1.998: 1e-3
    gs.solve(energy, scripted(1.998, residual=always(6e-4)))
    with pytest.raises(CertificationError, match=r"relative residual of 0\.0004"):
        gs.solve(energy, scripted(1.998, residual=always(4e-4)))


@pytest.mark.parametrize(
    ("x", "words"),
    [
        (torch.tensor([[0], [2]]), "2 labels, got 2"),
        (torch.tensor([[0], [-1]]), "got -1"),
        (torch.tensor([[0.0], [1.0]]), "torch.int64"),
        (torch.tensor([[0, 0], [1, 1]]), "shape that ends in"),
    ],
)
def test_what_is_no_configuration_is_the_solvers_fault(x: Tensor, words: str) -> None:
    with pytest.raises(CertificationError, match=f"Scripted gives an `x`.*{words}.*fault of the"):
        gs.solve(table([1.0, 2.0]), Scripted(xs=x))


@dataclass(frozen=True, kw_only=True)
class Constant:
    """The energy of a graph without factors."""

    graph: FactorGraph

    @property
    def space(self) -> Discrete:
        return Discrete(counts=self.graph.counts)

    @property
    def views(self) -> Views:
        return {FactorGraph: lambda: self.graph}

    def __call__(self, x: Tensor, /) -> Tensor:
        return self.graph.energy(x)


def beliefs(**claims: Any) -> Callable[[int], Beliefs]:
    made = Beliefs(
        marginals=tensor(*claims.pop("marginals", (0.5, 0.5))),
        **{name: torch.tensor(value, dtype=F64) for name, value in claims.items()},
    )

    def claim(step: int) -> Beliefs:
        return made

    return claim


@pytest.mark.parametrize(
    ("claims", "words"),
    [
        ({"lower": 2.0, "upper": 1.0}, "lower bound on log Z of 2.* against 1;"),
        ({"lower": 2.0, "log_partition": 1.0}, "lower bound on log Z of 2"),
        ({"log_partition": 2.0, "upper": 1.0}, "log Z of 2"),
        ({"upper": -3.0}, "upper bound on log Z of -3.* against -1"),
        ({"marginals": (0.7, 0.7)}, "sum of a variable's marginals of 1.4"),
        ({"marginals": (-0.5, 1.5)}, "marginals"),
        ({"marginals": (NAN, NAN)}, "sum of a variable's marginals of nan"),
        ({"lower": NAN}, "lower bound on log Z of nan"),
        ({"log_partition": NAN}, "log Z of nan"),
    ],
)
def test_beliefs_must_not_contradict_themselves(claims: Any, words: str) -> None:
    liar = Scripted(xs=torch.tensor([[0]]), beliefs=beliefs(**claims))
    with pytest.raises(CertificationError, match=f"Scripted claims an? .*{words}"):
        gs.infer(table([1.0, 2.0]), liar)


@pytest.mark.parametrize(("lower", "true"), [(1e6, False), (-INF, True)])
def test_a_lower_bound_on_log_z_is_held_to_what_all_labellings_could_give(
    lower: float, true: bool
) -> None:
    graph = FactorGraph(counts=torch.tensor([2]), groups=(), constant=torch.tensor(1.0, dtype=F64))
    energy = Constant(graph=graph)
    solver = Scripted(xs=torch.tensor([[0]]), beliefs=beliefs(lower=lower))
    if true:
        gs.infer(energy, solver)
        return
    with pytest.raises(CertificationError, match=r"lower bound on log Z of 1000000, .* -0\.30"):
        gs.infer(energy, solver)


def test_marginals_have_a_number_for_each_label() -> None:
    liar = Scripted(xs=torch.tensor([[0]]), beliefs=beliefs(marginals=(0.5, 0.5, 0.0)))
    with pytest.raises(CertificationError, match="3 marginals, and there are 2 labels"):
        gs.infer(table([1.0, 2.0]), liar)


def test_a_claim_has_a_number_for_each_configuration() -> None:
    liar = scripted(1.0, energy=each([1.0, 1.0]))
    with pytest.raises(CertificationError, match=r"claims energy of shape \(2,\), .* shape \(\);"):
        gs.solve(SQUARE, liar)


def test_a_status_is_one_that_there_is() -> None:
    with pytest.raises(CertificationError, match="Scripted gives the status 42"):
        gs.solve(SQUARE, Scripted(xs=tensor([1.0]), done=torch.tensor(42)))


def test_inference_gives_beliefs_or_explains() -> None:
    honest = Scripted(xs=torch.tensor([[0]]), beliefs=beliefs(lower=-1.0, upper=2.0))
    found, solution = gs.infer(table([1.0, 2.0]), honest)
    assert found.marginals.tolist() == [0.5, 0.5]
    assert solution.beliefs is found
    with pytest.raises(gs.ViewError, match="claims 'beliefs'; Scripted gives none"):
        gs.infer(table([1.0, 2.0]), Scripted(xs=torch.tensor([[0]])))


def test_rounding_grows_with_the_terms_and_not_with_their_sum() -> None:
    energy = bowl(tensor(1e8, 1e8), tensor(1e8, 1e8))  # terms of 1e8 that nearly cancel at x = 2
    x = tensor(2.0, 2.0)
    assert float(energy(x)) == 0.0
    assert float(magnitude(energy, x, energy(x))) == pytest.approx(8e8)
    assert float(rounding(energy, x, energy(x))) == pytest.approx(0.8, rel=1e-6)


def test_terms_that_cancel_within_a_product_count() -> None:
    matrix = tensor([1e8, -1e8], [-1e8, 1e8 + 1])
    quadratic = Quadratic(
        matvec=lambda x: x @ matrix,
        linear=torch.zeros(2, dtype=F64),
        constant=torch.zeros((), dtype=F64),
        diagonal=matrix.diagonal(),
    )
    energy = QuadraticEnergy(quadratic=quadratic, space=Real(event_shape=(2,), dtype=F64))
    x = tensor(1.0, 1.0)
    assert float(energy(x)) == 0.5
    assert float(magnitude(energy, x, energy(x))) == pytest.approx(1e8)


def test_the_energy_is_recomputed_in_float64() -> None:
    energy = bowl(torch.tensor([1.0]), torch.tensor([1 / 3]))
    exact = exact_energy(energy, torch.tensor([0.1]))
    assert exact.dtype == F64
    assert exact != energy(torch.tensor([0.1])).double()


def test_an_energy_that_cannot_be_moved_is_evaluated_as_it_is() -> None:
    weights = torch.ones(1)
    energy = FunctionEnergy(function=lambda x: x @ weights, space=Real(event_shape=(1,)))
    assert exact_energy(energy, torch.ones(1)).dtype == torch.float32


def test_counts_of_labels_are_per_variable() -> None:
    space = Discrete(counts=torch.tensor([2, 1]))
    energy = FunctionEnergy(function=lambda x: x.sum(-1).to(F64), space=space)
    honest = Scripted(xs=torch.tensor([[0, 0]]), beliefs=beliefs(marginals=(0.25, 0.75, 1.0)))
    gs.infer(energy, honest)
    liar = Scripted(xs=torch.tensor([[0, 0]]), beliefs=beliefs(marginals=(0.25, 1.0, 0.75)))
    with pytest.raises(CertificationError):
        gs.infer(energy, liar)


def test_parameters_too_large_to_copy_are_left_in_their_own_type(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    space = Real(event_shape=(1,), dtype=torch.float32)
    quadratic = view(bowl(torch.tensor([1.0])), Quadratic)
    energy = QuadraticEnergy(quadratic=quadratic, space=space)
    assert exact_energy(energy, torch.ones(1)).dtype == F64
    monkeypatch.setattr("groundstate.certify._LARGE", 8)
    assert exact_energy(energy, torch.ones(1)).dtype == torch.float32
