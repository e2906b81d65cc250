"""Every solver on every example of every energy it accepts, against a dense float64 solve."""

from typing import Any

import pytest
import torch

import groundstate as gs
from groundstate.energy import Energy
from groundstate.solving import solve
from groundstate.status import Status
from groundstate.targets import examples_of
from groundstate.testing.oracles import solve_densely

SETTINGS: dict[str, dict[str, Any]] = {
    "cg": {"tolerance": 1e-11},
    "gmres": {"tolerance": 1e-11},
    "jacobi": {"tolerance": 1e-11, "relaxation": 0.6},
    "gauss-seidel": {"tolerance": 1e-11},
    "gaussian-mean-field": {"tolerance": 1e-11},
    "cholesky": {},
    "sparse-direct": {},
    "woodbury": {},
    "potts-cg": {"tolerance": 1e-11},
    "potts-split": {},
    "video-direct": {},
    "auto-quadratic": {},
}
REGISTRY = gs.load()
RECORDS = [record for record in REGISTRY.components() if record.plugin == "gcrf"]
ENERGIES = [record for record in RECORDS if record.component.kind == "energy"]


@pytest.mark.parametrize("name", list(SETTINGS))
def test_agrees_with_a_dense_solve(name: str) -> None:
    solver = REGISTRY.build(f"solver/{name}", **SETTINGS[name])
    needs = {each.component.name: set(each.component.needs) for each in RECORDS}[name]
    solved = 0
    for record in ENERGIES:
        for energy in examples_of(record):
            assert isinstance(energy, Energy)
            if not needs <= {kind.__name__ for kind in energy.views}:
                continue
            oracle = solve_densely(energy)
            if bool((oracle.spectrum[..., 0] <= 1e-9).any()):
                continue
            solution = solve(energy, solver, steps=5000, throw=False)
            done = (solution.status == Status.CONVERGED) | (solution.status == Status.OPTIMAL)
            if name == "jacobi":  # it may diverge, and says so
                done = done | (solution.status == Status.DIVERGED)
                if bool((solution.status == Status.DIVERGED).any()):
                    continue
            assert bool(done.all()), f"{record.key}: {solution.status.tolist()}"
            room = 1e-8 * float(oracle.minimiser.abs().max())
            torch.testing.assert_close(
                solution.x, oracle.minimiser, rtol=1e-7, atol=room, msg=record.key
            )
            solved += 1
    assert solved >= 2


def test_every_solver_of_quadratic_energies_is_here() -> None:
    solvers = {
        record.component.name
        for record in RECORDS
        if record.component.kind == "solver" and "Quadratic" in record.component.needs
    }
    assert solvers == set(SETTINGS)
