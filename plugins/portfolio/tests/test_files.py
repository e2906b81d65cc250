"""Known optima of real problems, from the toulbar2 collection."""

import os
from pathlib import Path

import pytest

import groundstate as gs
from groundstate_mrf.wcsp import WCSPReader
from groundstate_portfolio.auto_discrete import AutoDiscrete

DATA = Path(os.environ.get("GROUNDSTATE_DATA", "../shared/data")) / "map"


def solved(name: str, seconds: float) -> gs.Solution[gs.State]:
    path = DATA / f"{name}.wcsp"
    if not path.is_file():
        pytest.skip(f"{path} is not there; set GROUNDSTATE_DATA to the folder of real inputs")
    energy = WCSPReader().read(path)
    return gs.solve(energy, AutoDiscrete(), seconds=seconds, steps=10**6)


@pytest.mark.parametrize(
    ("name", "optimum"), [("example", 27), ("404", 114), ("warehouse", 328), ("GEOM40_6", 0)]
)
def test_optima_with_their_proof(name: str, optimum: float) -> None:
    solution = solved(name, 60)
    assert float(solution.energy) == pytest.approx(optimum, abs=1e-6)
    assert gs.Status(int(solution.status)).label == "optimal"


@pytest.mark.slow
def test_frequencies_of_32_transmitters() -> None:
    """Found by restarts; nothing here proves it."""
    solution = solved("celar6sub0", 60)
    assert float(solution.energy) == pytest.approx(159, abs=1e-6)
