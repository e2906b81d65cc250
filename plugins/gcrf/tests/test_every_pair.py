"""Every solver on every example of every energy it accepts, against a dense float64 solve."""

from typing import Any

import pytest
import torch

import groundstate as gs
from groundstate.component import Component
from groundstate.energy import Energy
from groundstate.solving import solve
from groundstate.status import Status
from groundstate.targets import examples_of
from groundstate.testing.oracles import solve_densely

REGISTRY = gs.load()
RECORDS = [record for record in REGISTRY.components() if record.plugin == "gcrf"]
ENERGIES = [record for record in RECORDS if record.component.kind == "energy"]


SOLVERS = [
    record.component
    for record in RECORDS
    if record.component.kind == "solver" and "Quadratic" in record.component.needs
]
SETTINGS: dict[str, dict[str, Any]] = {"jacobi": {"relaxation": 0.6, "check_every": 128}}


def accepted(component: Component) -> list[tuple[str, Energy]]:
    """The examples of all energies that give what it needs, and have a minimum."""
    found: list[tuple[str, Energy]] = []
    for record in ENERGIES:
        for energy in examples_of(record):
            assert isinstance(energy, Energy)
            given = {kind.__name__ for kind in energy.views}
            definite = bool((solve_densely(energy).spectrum > 1e-9).all())
            if set(component.needs) <= given and definite:
                found.append((record.key, energy))
    return found


@pytest.mark.parametrize("component", SOLVERS, ids=lambda component: component.name)
def test_agrees_with_a_dense_solve(component: Component) -> None:
    settings = SETTINGS.get(component.name, {})
    solver = REGISTRY.build(component.key, tolerance=1e-11, **settings)
    solved = 0
    for key, energy in accepted(component):
        expected = solve_densely(energy).minimiser
        solution = solve(energy, solver, steps=5000, throw=False)
        if component.name == "jacobi" and bool((solution.status == Status.DIVERGED).any()):
            continue  # it may, and says so
        done = (solution.status == Status.CONVERGED) | (solution.status == Status.OPTIMAL)
        assert bool(done.all()), f"{key}: {solution.status.tolist()}"
        room = 1e-8 * float(expected.abs().max())
        torch.testing.assert_close(solution.x, expected, rtol=1e-7, atol=room, msg=key)
        solved += 1
    assert solved >= 2
