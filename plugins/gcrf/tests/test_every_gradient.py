"""Implicit gradients through every energy and every solver that takes it, in every parameter.

Through `solver/cholesky` each parameter is held to finite differences (`gradcheck` in fast mode:
along a random direction for each); the gradient through every other solver is the same.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from plugins.gcrf.tests.crfs import normal
from torch import Tensor

import groundstate as gs
from groundstate.energy import Energy
from groundstate.solving import solve
from groundstate.targets import examples_of
from groundstate_gcrf.energies.affinity import affinity_gcrf
from groundstate_gcrf.energies.inverse import inverse_gcrf
from groundstate_gcrf.energies.low_rank import low_rank_gcrf
from groundstate_gcrf.energies.low_rank_potts import low_rank_potts_gcrf
from groundstate_gcrf.energies.multi_resolution import multi_resolution_gcrf
from groundstate_gcrf.energies.quadratic_sum import OverFrames, quadratic_sum
from groundstate_gcrf.energies.sparse import (
    graph_gcrf,
    graph_gcrf_potts,
    grid_gcrf_general,
    grid_gcrf_potts,
)
from groundstate_gcrf.energies.video import video_gcrf
from groundstate_gcrf.grid import grid_gcrf

REGISTRY = gs.load()
RECORDS = [record.component for record in REGISTRY.components() if record.plugin == "gcrf"]
SOLVERS = [each for each in RECORDS if each.kind == "solver" and "Quadratic" in each.needs]
SETTINGS: dict[str, dict[str, Any]] = {"jacobi": {"relaxation": 0.6, "check_every": 128}}


@dataclass(frozen=True, kw_only=True)
class Case:
    """An energy as a function of its parameters."""

    build: Callable[[Mapping[str, Tensor]], Energy]
    parameters: dict[str, Tensor]


def numbers(*values: float) -> list[Tensor]:
    return [torch.tensor(value, dtype=torch.float64) for value in values]


def pins() -> Tensor:
    pinned = torch.zeros(2, 3, dtype=torch.bool)
    pinned[0, 0] = pinned[1, 2] = True
    return pinned


def grid(p: Mapping[str, Tensor]) -> Energy:
    return grid_gcrf(
        image=p["image"],
        pinned=pins(),
        values=p["values"],
        smoothness=p["smoothness"],
        contrast=0.5,
        strength=p["strength"],
        diagonal=p["ridge"],
    )


def affinity(p: Mapping[str, Tensor]) -> Energy:
    regions = torch.zeros(1, 2, 3, dtype=torch.bool)
    regions[0, 0, 1:] = True
    return affinity_gcrf(
        embeddings=p["embeddings"],
        pinned=pins(),
        values=p["values"],
        regions=regions,
        strength=p["strength"],
        tie=p["tie"],
        diagonal=p["ridge"],
    )


def edges() -> Tensor:
    return torch.tensor([[0, 1, 2], [1, 2, 0]])


def sparse_cases() -> dict[str, Case]:
    image, values = torch.rand(2, 3, 2, generator=torch.Generator().manual_seed(0)), normal(1, 2, 3)
    beta = dict(zip(("smoothness", "strength", "ridge"), numbers(1.0, 2.0, 0.3), strict=True))
    unary, (ridge,) = normal(0, 2, 2, 3), numbers(6.0)
    right, down = normal(1, 2, 2, 2, 2, size=0.3), normal(2, 1, 3, 2, 2, size=0.3)
    across, along = normal(1, 2, 2, size=0.3), normal(2, 1, 3, size=0.3)
    nodes = normal(3, 2, 3)
    return {
        "grid-gcrf": Case(
            build=grid, parameters={"image": image.double(), "values": values, **beta}
        ),
        "grid-gcrf-general": Case(
            build=lambda p: grid_gcrf_general(
                unary=p["unary"], terms=[p["right"], p["down"]], diagonal=p["ridge"]
            ),
            parameters={"unary": unary, "right": right, "down": down, "ridge": ridge},
        ),
        "grid-gcrf-potts": Case(
            build=lambda p: grid_gcrf_potts(
                unary=p["unary"], weights=[p["right"], p["down"]], diagonal=p["ridge"]
            ),
            parameters={"unary": unary, "right": across, "down": along, "ridge": ridge},
        ),
        "grid-gcrf-potts, rescaled": Case(
            build=lambda p: grid_gcrf_potts(
                unary=p["unary"],
                weights=[p["right"], p["down"]],
                diagonal=p["ridge"],
                guard="rescale",
            ),
            parameters={
                "unary": unary,
                "right": 9 * across.abs(),
                "down": 9 * along.abs(),
                "ridge": ridge,
            },
        ),
        "graph-gcrf": Case(
            build=lambda p: graph_gcrf(
                unary=p["unary"], edge_index=edges(), terms=p["terms"], diagonal=p["ridge"]
            ),
            parameters={"unary": nodes, "terms": normal(4, 3, 2, 2), "ridge": ridge},
        ),
        "graph-gcrf-potts": Case(
            build=lambda p: graph_gcrf_potts(
                unary=p["unary"], edge_index=edges(), weights=p["weights"], diagonal=p["ridge"]
            ),
            parameters={"unary": nodes, "weights": normal(4, 3), "ridge": ridge},
        ),
        "multi-resolution-gcrf": Case(
            build=lambda p: multi_resolution_gcrf(
                unaries=[p["fine"], p["coarse"]],
                terms=[[p["right"], p["down"]], [p["right"][:1, :1], p["down"][:0, :2]]],
                between=[p["between"]],
                diagonal=p["ridge"],
            ),
            parameters={
                "fine": unary,
                "coarse": normal(5, 2, 2, 2)[:, :1],
                "right": right,
                "down": down,
                "between": normal(6, 2, 3, 2, 2, size=0.3),
                "ridge": ridge,
            },
        ),
    }


def dense_cases() -> dict[str, Case]:
    unary, (ridge,) = normal(0, 2, 2, 2), numbers(4.0)
    embeddings, shared = normal(1, 3, 2, 2, 2, size=0.5), normal(2, 3, 2, 2, size=0.5)
    frames = normal(3, 2, 2, 1, 2)
    spatial, temporal = normal(4, 2, 2, 2, 1, 2, size=0.6), normal(5, 2, 2, 2, 1, 2, size=0.6)
    given = {"unary": unary, "embeddings": embeddings, "ridge": ridge}
    video = {"unary": frames, "spatial": spatial, "temporal": temporal, "ridge": ridge}
    pull = dict(zip(("strength", "tie", "ridge"), numbers(2.0, 1.5, 0.8), strict=True))
    return {
        "low-rank-gcrf": Case(
            build=lambda p: low_rank_gcrf(
                unary=p["unary"], embeddings=p["embeddings"], diagonal=p["ridge"]
            ),
            parameters=given,
        ),
        "inverse-gcrf": Case(
            build=lambda p: inverse_gcrf(
                unary=p["unary"], embeddings=p["embeddings"], diagonal=p["ridge"]
            ),
            parameters=given,
        ),
        "low-rank-potts-gcrf": Case(
            build=lambda p: low_rank_potts_gcrf(
                unary=p["unary"], embeddings=p["embeddings"], diagonal=p["ridge"]
            ),
            parameters={**given, "embeddings": shared},
        ),
        "low-rank-potts-gcrf, rescaled": Case(
            build=lambda p: low_rank_potts_gcrf(
                unary=p["unary"],
                embeddings=3 * p["embeddings"],
                diagonal=p["ridge"],
                guard="rescale",
            ),
            parameters={**given, "embeddings": shared},
        ),
        "video-gcrf": Case(
            build=lambda p: video_gcrf(
                unary=p["unary"], spatial=p["spatial"], temporal=p["temporal"], diagonal=p["ridge"]
            ),
            parameters=video,
        ),
        "video-gcrf, Gram blocks": Case(
            build=lambda p: video_gcrf(
                unary=p["unary"],
                spatial=p["spatial"],
                temporal=p["temporal"],
                diagonal=p["ridge"],
                temporal_diagonal="gram",
            ),
            parameters=video,
        ),
        "affinity-gcrf": Case(
            build=affinity,
            parameters={"embeddings": normal(6, 3, 2, 3), "values": normal(7, 2, 3), **pull},
        ),
        "quadratic-sum": Case(
            build=lambda p: quadratic_sum(
                energies=[
                    OverFrames(
                        energy=grid_gcrf_potts(
                            unary=p["unary"],
                            weights=[p["across"], p["across"].new_zeros(2, 0, 2)],
                            diagonal=p["ridge"],
                        )
                    ),
                    OverFrames(
                        energy=low_rank_gcrf(
                            unary=p["unary"], embeddings=p["embeddings"], diagonal=p["ridge"]
                        )
                    ),
                    video_gcrf(
                        unary=p["unary"],
                        spatial=p["spatial"],
                        temporal=p["temporal"],
                        diagonal=p["ridge"],
                    ),
                ]
            ),
            parameters={
                "unary": frames,
                "embeddings": normal(8, 2, 3, 2, 1, 2, size=0.5),
                "across": normal(9, 2, 1, 1, size=0.3),
                "spatial": spatial,
                "temporal": temporal,
                "ridge": ridge,
            },
        ),
    }


CASES = {**sparse_cases(), **dense_cases()}


def test_every_energy_is_here() -> None:
    names = {each.name for each in RECORDS if each.kind == "energy"}
    assert names == {name.split(",")[0] for name in CASES}
    assert all(examples_of(record) for record in REGISTRY.components() if record.plugin == "gcrf")


def minimiser(case: Case, solver: str) -> Callable[..., Tensor]:
    made = REGISTRY.build(f"solver/{solver}", tolerance=1e-13, **SETTINGS.get(solver, {}))

    def solved(*given: Tensor) -> Tensor:
        return solve(
            case.build(dict(zip(case.parameters, given, strict=True))), made, gradient="implicit"
        ).x

    return solved


@pytest.mark.parametrize("name", list(CASES))
def test_gradient_in_every_parameter_through_every_solver(name: str) -> None:
    case = CASES[name]
    leaves = tuple(each.clone().requires_grad_() for each in case.parameters.values())
    exact = minimiser(case, "cholesky")
    assert torch.autograd.gradcheck(exact, leaves, atol=1e-7, fast_mode=True)

    def slopes(solved: Callable[..., Tensor]) -> list[Tensor]:
        x = solved(*leaves)
        return list(torch.autograd.grad((x * normal(50, *x.shape)).sum(), leaves))

    expected = slopes(exact)
    views = {kind.__name__ for kind in case.build(case.parameters).views}
    fitting = [each.name for each in SOLVERS if set(each.needs) <= views]
    assert {"cg", "gmres", "jacobi", "auto-quadratic"} <= set(fitting)
    for solver in fitting:
        for slope, true in zip(slopes(minimiser(case, solver)), expected, strict=True):
            torch.testing.assert_close(slope, true, rtol=1e-8, atol=1e-9, msg=solver)
