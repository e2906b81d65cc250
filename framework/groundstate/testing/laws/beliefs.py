"""What holds for solvers that give marginals, and for samplers."""

from functools import partial
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from groundstate.energy import view
from groundstate.factors import FactorGraph
from groundstate.solver import Beliefs, Solver
from groundstate.space import Discrete
from groundstate.testing.laws.law import laws
from groundstate.testing.laws.runs import FEW, finish, start, walk
from groundstate.testing.oracles import solve_densely
from groundstate.testing.problems.problem import Problem
from groundstate.testing.saying import close, refuse, require
from groundstate.testing.typed import ints, pieces

_SAMPLES = 1200
_CHUNKS = 20


def beliefs_are_given(solver: Solver[Any], problem: Problem) -> None:
    """A solver that claims "beliefs" gives them by the time it ends."""
    state = finish(solver, problem.energy, start(problem))
    require(state.beliefs is not None, '`state.beliefs` is None, but "beliefs" is claimed')


def _beliefs(solver: Solver[Any], problem: Problem) -> list[Beliefs]:
    states = [*walk(solver, problem.energy, start(problem), FEW)]
    states.append(finish(solver, problem.energy, start(problem)))
    return [state.beliefs for state in states if state.beliefs is not None]


def marginals_are_distributions(solver: Solver[Any], problem: Problem) -> None:
    """Each variable's marginals are in [0, 1] and sum to 1, at every moment."""
    graph = view(problem.energy, FactorGraph)
    lead = () if problem.energy.space.layout.segments is not None else problem.batch_shape
    for beliefs in _beliefs(solver, problem):
        marginals = beliefs.marginals
        require(
            tuple(marginals.shape) == (*lead, graph.entries),
            f"marginals must have shape {(*lead, graph.entries)}, got {tuple(marginals.shape)}",
        )
        require(
            bool((marginals >= -1e-6).all() and (marginals <= 1 + 1e-6).all()),
            f"marginals must lie in [0, 1], got {float(marginals.min()):.6g} to "
            f"{float(marginals.max()):.6g}",
        )
        sums = torch.stack([p.sum(-1) for p in pieces(marginals, ints(graph.counts))], -1)
        close(sums, torch.ones_like(sums), "the sum of a variable's marginals", relative=1e-4)


def log_partition_lies_between_its_bounds(solver: Solver[Any], problem: Problem) -> None:
    """Lower ≤ log Z ≤ upper, log Z by enumeration."""
    true = problem.log_partition
    allowed = 1e-6 * (1 + true.abs())
    for beliefs in _beliefs(solver, problem):
        if beliefs.lower is not None:
            lower = beliefs.lower.double()
            wrong = ~(lower <= true + allowed)
            refuse(wrong, lower, true, "the lower bound must not exceed log Z")
        if beliefs.upper is not None:
            upper = beliefs.upper.double()
            wrong = ~(upper >= true - allowed)
            refuse(wrong, upper, true, "the upper bound must not be below log Z")


def marginals_are_exact(solver: Solver[Any], problem: Problem) -> None:
    """Marginals and log Z are those of the enumeration."""
    beliefs = finish(solver, problem.energy, start(problem), steps=3000).beliefs
    require(beliefs is not None, "`state.beliefs` is None, but exact beliefs are claimed")
    assert beliefs is not None
    close(beliefs.marginals.double(), problem.marginals, "the marginals", relative=1e-5)
    if beliefs.log_partition is not None:
        close(beliefs.log_partition.double(), problem.log_partition, "log Z", relative=1e-5)


def marginals_are_exact_on_trees(solver: Solver[Any], problem: Problem) -> None:
    """On a graph without cycles, marginals and log Z are those of the enumeration."""
    marginals_are_exact(solver, problem)


def samples_follow_the_density(solver: Solver[Any], problem: Problem) -> None:
    """The chain's averages are those of p(x) ∝ exp(-E(x))."""
    energy = problem.energy
    if isinstance(energy.space, Discrete):
        true = problem.marginals
        graph = view(energy, FactorGraph)
        averaged = partial(graph.one_hot, dtype=torch.float64)
    else:
        gaussian = solve_densely(energy)
        mean = gaussian.mean
        true = torch.stack([mean, gaussian.covariance.diagonal(dim1=-2, dim2=-1)])
        averaged = partial(_with_square, mean=mean)

    values: list[Tensor] = []
    for number, state in enumerate(walk(solver, energy, start(problem), _SAMPLES)):
        if number >= _SAMPLES // 10:
            lead = state.x.dim() - len(energy.space.layout.event_shape)
            values.append(averaged(state.x.flatten(lead)))
    _compare_averages(torch.stack(values), true)


def _with_square(x: Float[Tensor, "..."], mean: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    return torch.stack([x, (x - mean) ** 2])


def _compare_averages(values: Float[Tensor, "samples ..."], true: Float[Tensor, "..."]) -> None:
    """Hold an average to lie within six standard errors, judged from chunks of the chain."""
    chunks = torch.stack([chunk.mean(0) for chunk in values.chunk(_CHUNKS)])
    average = chunks.mean(0)
    error = chunks.std(0) / len(chunks) ** 0.5
    wrong = (average - true).abs() > 6 * error + 0.02 * (1 + true.abs())
    refuse(wrong, average, true, f"the average over {len(values)} samples, against the exact one")


LAWS = (
    *laws(
        beliefs_are_given,
        marginals_are_distributions,
        log_partition_lies_between_its_bounds,
        marginals_are_exact,
        applies=lambda problem: (
            "FactorGraph" in problem.views and problem.solvable and not problem.large
        ),
    ),
    *laws(marginals_are_exact_on_trees, applies=lambda problem: problem.tree),
    *laws(
        samples_follow_the_density,
        applies=lambda problem: problem.name in ("system", "tree"),
    ),
)
