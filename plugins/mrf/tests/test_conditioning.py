"""Clamping, fewer labels and sub-problems: the same energies as before, and back."""

from pathlib import Path
from typing import Any

import pytest
import torch
from plugins.mrf.tests.random_groups import COUNTS, structured_problems
from plugins.mrf.tests.random_problems import every_labelling, random_problem
from torch import Tensor

import groundstate as gs
from groundstate.errors import FormatError, ViewError
from groundstate.factors import ExpectationGroup, FactorGroup, MessageGroup
from groundstate.solver import Solver
from groundstate.testing.typed import ints
from groundstate_mrf.brute_force import BruteForce
from groundstate_mrf.conditioning import Evidence, clamp, restrict, subproblem
from groundstate_mrf.evidence import read_evidence
from groundstate_mrf.factor_graph import FactorGraphEnergy, factor_graph
from groundstate_mrf.groups.distance import DistanceGroup
from groundstate_mrf.icm import ICM
from groundstate_mrf.max_product import MaxProduct
from groundstate_mrf.mean_field import MeanField
from groundstate_mrf.structured import callable_factors

INFINITY = float("inf")


def problems(seed: int) -> list[FactorGraphEnergy]:
    counts = torch.tensor(COUNTS)
    function = callable_factors(counts, [[0, 1, 4]], lambda y: y.double().sum(-1) ** 2, lowest=0.0)
    first = counts.cumsum(0) - counts
    edges = torch.tensor([[0, 2]])
    distances = DistanceGroup(
        edges=edges,
        first=first[edges],
        weights=torch.tensor([0.7], dtype=torch.float64),
        table=torch.tensor([[0.0, 1, 2], [3, 0, 1], [1, 5, 0]], dtype=torch.float64),
        total=14,
    )
    by_hand = [
        factor_graph(counts, [], each, dtype=torch.float64) for each in (function, distances)
    ]
    return [
        random_problem(seed),
        random_problem(seed, batch=(2,), infinite=0.2),
        *structured_problems(seed, (2,) if seed % 2 else (), 0.1),
        *by_hand,
    ]


def choices(energy: FactorGraphEnergy, seed: int) -> dict[int, list[int]]:
    rng = torch.Generator().manual_seed(seed)
    allowed: dict[int, list[int]] = {}
    for variable, count in enumerate(ints(energy.counts)):
        order = ints(torch.randperm(count, generator=rng))
        keep = int(torch.randint(1, count + 1, (), generator=rng))
        if int(torch.randint(0, 3, (), generator=rng)):
            allowed[variable] = order[:keep]
    return allowed


@pytest.mark.parametrize("seed", range(6))
def test_energies_are_those_of_the_labellings_they_stand_for(seed: int) -> None:
    for energy in problems(seed):
        found = restrict(energy, choices(energy, seed))
        labels, values = every_labelling(found.energy)
        torch.testing.assert_close(values, energy(found.decode(labels)), rtol=1e-9, atol=1e-9)
        assert bool((found.energy.graph.bound() <= values.amin(0) + 1e-9).all())
        x = labels[len(labels) // 2]
        moves = found.energy.graph.moves(x)
        graph = found.energy.graph
        for variable, count in enumerate(ints(found.energy.counts)):
            first = int(graph.offsets[variable])
            for label in range(count):
                moved = x.clone()
                moved[..., variable] = label
                change = found.energy(moved) - found.energy(x)
                here = moves[..., first + label]
                start = moves.gather(-1, (graph.offsets + x)[..., variable, None]).squeeze(-1)
                finite = change.isfinite() & here.isfinite() & start.isfinite()
                same = torch.where(finite, here - start - change, 0.0)
                torch.testing.assert_close(same, torch.zeros_like(same), rtol=0, atol=1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_messages_and_expectations_are_those_of_tables(seed: int) -> None:
    rng = torch.Generator().manual_seed(seed)
    for energy in structured_problems(seed, infinite=0.1):
        found = restrict(energy, {0: [2, 0], 3: [1], 4: [3, 1, 0]}).energy
        for group in found.groups:
            if group.count > 1 or "messages" not in group.serves:
                continue
            scope = group.slots
            counts = found.counts[scope]
            cells = torch.cartesian_prod(*[torch.arange(int(c)) for c in counts])
            labels = torch.zeros((len(cells), len(found.counts)), dtype=torch.int64)
            labels[:, scope] = cells.reshape(len(cells), -1)
            table = group.energies(labels)[..., 0].reshape(ints(counts))
            plain = _as_table(found, scope, table)
            assert isinstance(group, MessageGroup) and isinstance(plain, MessageGroup)
            assert isinstance(group, ExpectationGroup) and isinstance(plain, ExpectationGroup)
            incoming = torch.randn(len(group.entries), generator=rng, dtype=torch.float64)
            for temperature in (0.0, 0.6):
                torch.testing.assert_close(
                    group.messages(incoming, temperature), plain.messages(incoming, temperature)
                )
            beliefs = torch.rand(found.graph.entries, generator=rng, dtype=torch.float64)
            sums = beliefs.new_zeros(len(found.counts))
            sums = sums.index_add(0, found.graph.variable_of_entry, beliefs)
            beliefs = beliefs / sums[found.graph.variable_of_entry]
            torch.testing.assert_close(group.expected_moves(beliefs), plain.expected_moves(beliefs))
            torch.testing.assert_close(
                group.expected_energies(beliefs), plain.expected_energies(beliefs)
            )
            torch.testing.assert_close(group.minima(), plain.minima())


def _as_table(energy: FactorGraphEnergy, scope: Tensor, table: Tensor) -> FactorGroup:
    (group,) = factor_graph(energy.counts, [(ints(scope), table)]).groups
    return group


@pytest.mark.parametrize("seed", range(4))
def test_conditioned_problems_are_solved_and_joined(seed: int) -> None:
    energies = [clamp(each, {0: 0, 4: 1}).energy for each in structured_problems(seed)]
    for energy in energies:
        if not bool(every_labelling(energy)[1].isfinite().any()):
            continue
        best = gs.solve(energy, BruteForce()).energy
        solvers: list[Solver[Any]] = [ICM(), MeanField(), MaxProduct()]
        for solver in solvers:
            if not isinstance(solver, ICM) and not all(
                "messages" in group.serves for group in energy.groups
            ):
                continue
            solution = gs.solve(energy, solver, steps=50, throw=False)
            assert float(solution.energy) >= float(best) - 1e-9
            assert solution.bound is not None
            assert float(solution.bound) <= float(best) + 1e-9
    union = gs.union(energies)
    x = [every_labelling(each)[0][-1] for each in energies]
    expected = torch.stack([each(y) for each, y in zip(energies, x, strict=True)])
    torch.testing.assert_close(union(torch.cat(x)), expected)


def test_subproblem_moves_some_variables_and_holds_the_rest() -> None:
    energy = random_problem(3)
    x = energy.space.sample(torch.Generator().manual_seed(0))
    found = subproblem(energy, [1, 3], x)
    assert len(found.energy.counts) == 2
    labels, values = every_labelling(found.energy)
    decoded = found.decode(labels)
    assert bool((decoded[:, [0, 2, 4]] == x[[0, 2, 4]]).all())
    torch.testing.assert_close(values, energy(decoded))


def test_all_variables_may_be_given() -> None:
    energy = random_problem(1)
    x = energy.space.sample(torch.Generator().manual_seed(0))
    found = clamp(energy, dict(enumerate(ints(x))))
    assert found.energy.counts.tolist() == [1]
    torch.testing.assert_close(found.energy(torch.tensor([0])), energy(x))
    assert torch.equal(found.decode(torch.tensor([0])), x)


def test_what_cannot_be_restricted_is_told() -> None:
    energy = random_problem(0)
    with pytest.raises(ValueError, match=r"variables are 0 \.\.\. 4, got 5"):
        clamp(energy, {5: 0})
    for labels in ([], [7], [0, 0]):
        with pytest.raises(ValueError, match="variable 4 may take"):
            restrict(energy, {4: labels})
    with pytest.raises(ViewError, match="union"):
        clamp(gs.union([energy, energy]), {0: 0})


FORMS: list[tuple[str, list[dict[int, int]]]] = [
    ("0\n", [{}]),
    ("2 0 1 3 0\n", [{0: 1, 3: 0}]),
    ("1\n2 0 1 3 0\n", [{0: 1, 3: 0}]),
    ("2\n1 2 1\n2 0 1 3 0\n", [{2: 1}, {0: 1, 3: 0}]),
    ("1\n0\n", [{}]),
]


@pytest.mark.parametrize(("text", "expected"), FORMS)
def test_both_forms_of_evidence(tmp_path: Path, text: str, expected: list[dict[int, int]]) -> None:
    path = tmp_path / "a.uai.evid"
    path.write_text(text)
    assert read_evidence(path, [2, 2, 3, 2]) == expected


@pytest.mark.parametrize(
    ("text", "line", "expected"),
    [
        ("", 1, "how many variables are given"),
        ("2 0 1\n3", 2, "a label of variable 3"),
        ("1\n0 5", 2, "a label of variable 0, 0 to 1"),
        ("1\n4 0", 2, "variable 1 of 1, 0 to 3"),
        ("2 0 1\n0 1", 2, "each once"),
        ("1\n1 0 1 7", 2, "the end of the file"),
    ],
)
def test_malformed_evidence_names_the_line(
    tmp_path: Path, text: str, line: int, expected: str
) -> None:
    path = tmp_path / "a.evid"
    path.write_text(text)
    with pytest.raises(FormatError, match=rf"a\.evid:{line}: expected") as caught:
        read_evidence(path, [2, 2, 3, 2])
    assert expected in str(caught.value)


def test_evidence_of_several_samples_is_no_problem_to_solve(tmp_path: Path) -> None:
    path = tmp_path / "a.evid"
    path.write_text("2\n1 0 0\n1 0 1\n")
    with pytest.raises(FormatError, match="found 2 samples"):
        Evidence(file=str(path)).adapt(factor_graph([2, 2], [((0, 1), torch.rand(2, 2))]))
