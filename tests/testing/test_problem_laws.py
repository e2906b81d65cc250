"""The kit's own energies obey the laws of energies."""

from typing import Any

import pytest

from groundstate.testing.laws.law import Law
from groundstate.testing.laws.tables import LAWS_OF_ENERGIES
from groundstate.testing.problems.choosing import everything
from groundstate.testing.saying import Skip

PAIRS = [
    pytest.param(problem.energy, law, id=f"{problem.name}-{law.name}".replace(" ", "-"))
    for problem in everything()
    if not problem.large
    for law in LAWS_OF_ENERGIES
    if law.applies(problem.energy)
]


@pytest.mark.parametrize(("energy", "law"), PAIRS)
def test_energy_obeys(energy: Any, law: Law) -> None:
    try:
        law.check(energy)
    except Skip as skip:
        pytest.skip(str(skip))
