"""Configurations of samples, batches and unions, row by row, as compiled solvers see them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor

from groundstate.status import Status
from groundstate_messages.ordered import Whole
from groundstate_mrf.flat import join_labels, split_labels
from groundstate_mrf.problem import Problem

ROUNDING = 1e-10
"""Relative difference, in float64, below which a bound meets an energy."""


@dataclass(frozen=True, kw_only=True)
class Found:
    """A labelling of one problem, and its energy in nats."""

    labels: Whole
    energy: float


def improved(
    problem: Problem,
    x: Shaped[Tensor, "*shape"],
    value: Float[Tensor, "*lead"],
    found: Mapping[int, Found],
) -> tuple[Shaped[Tensor, "*shape"], Float[Tensor, "*lead"]]:
    """The configurations and their energies, with what was found for a problem where it is lower.

    Args:
        problem: whose.
        x: configurations; samples before the batch.
        value: their energies in float64.
        found: by the number of the problem in the batch or union.
    """
    problems = value[(0,) * (value.dim() - problem_dimensions(problem))].numel()
    flat = value.reshape(-1)
    chosen = {
        row: found[row % problems]
        for row in range(len(flat))
        if row % problems in found and found[row % problems].energy < float(flat[row])
    }
    if not chosen:
        return x, value
    parts = split_labels(problem.graph, problem.labels(x))
    flat = flat.clone()
    for row, better in chosen.items():
        parts[row], flat[row] = better.labels, better.energy
    labels = join_labels(problem.graph, parts, problem.labels(x))
    return problem.configuration(labels), flat.reshape(value.shape)


def problem_dimensions(problem: Problem) -> int:
    """How many dimensions number the problems; those before them number samples."""
    return len(problem.layout.batch_shape)


def per_problem(problem: Problem, done: Bool[Tensor, "*lead"]) -> list[bool]:
    """Whether all samples of each problem are done."""
    while done.dim() > problem_dimensions(problem):
        done = done.all(0)
    return [bool(each) for each in done.reshape(-1)]


def statuses(
    value: Float[Tensor, "*lead"],
    lower: Float[Tensor, "..."],
    settled: Bool[Tensor, "..."],
) -> Int[Tensor, "*lead"]:
    """OPTIMAL where the bound meets the energy to rounding, INFEASIBLE where it is infinite."""
    status = torch.where(settled, int(Status.CONVERGED), int(Status.RUNNING)).expand(value.shape)
    proven = value.isfinite() & (value <= lower + ROUNDING * (1 + value.abs()))
    status = torch.where(proven, int(Status.OPTIMAL), status)
    return torch.where(lower == float("inf"), int(Status.INFEASIBLE), status)


def rounded_down(bound: Float[Tensor, "*batch"], dtype: torch.dtype) -> Float[Tensor, "*batch"]:
    """A bound in a coarser type, never above what it was."""
    coarse = bound.to(dtype)
    below = torch.nextafter(coarse, torch.full_like(coarse, -float("inf")))
    return torch.where(coarse.double() > bound, below, coarse)


def join_entries(
    problem: Problem, parts: Sequence[Float[Tensor, "..."]]
) -> Float[Tensor, "*batch entries"]:
    """What belongs to the entries of each problem, as the graph has them."""
    graph = problem.graph
    if graph.segments is None:
        return torch.stack(list(parts)).reshape(*problem.layout.batch_shape, graph.entries)
    segment = graph.segments.cpu()[graph.variable_of_entry.cpu()]
    joined = parts[0].new_empty(graph.entries)
    for k, part in enumerate(parts):
        joined[segment == k] = part
    return joined


def split_entries(
    problem: Problem, values: Float[Tensor, "*batch entries"]
) -> list[Float[Tensor, " entries_of_one"]]:
    """What `join_entries` joined."""
    graph = problem.graph
    if graph.segments is None:
        return list(values.reshape(-1, graph.entries))
    segment = graph.segments.cpu()[graph.variable_of_entry.cpu()]
    return [values[segment == k] for k in range(problem.problems)]
