"""Answers of exact methods in the shape of the energy's own: labels, energies, beliefs."""

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from groundstate.solver import Beliefs
from groundstate_mrf.problem import Problem


def lead_of(problem: Problem) -> tuple[int, ...]:
    """Batch shape of what factor groups give; () where problems lie end to end."""
    return () if problem.graph.segments is not None else problem.layout.batch_shape


def with_labels(
    problem: Problem, labels: Int[Tensor, "batch variables"], x: Shaped[Tensor, "*shape"]
) -> tuple[Shaped[Tensor, "*shape"], Float[Tensor, "..."]]:
    """A configuration of these labels, in the shape of `x` (samples among it), and its energy."""
    lead = lead_of(problem)
    rows = labels.to(problem.graph.counts.device)
    rows = rows.expand(max(1, torch.Size(lead).numel()), -1).reshape(*lead, labels.shape[-1])
    found = problem.configuration(rows).expand(x.shape).clone()
    return found, problem.energy(found)


def beliefs_of(
    problem: Problem,
    marginals: Float[Tensor, "batch entries"],
    log_partition: Float[Tensor, " problems"],
) -> Beliefs:
    """Exact beliefs, in float64: both bounds are log Z itself.

    Marginals are 0 in problems of which every labelling is forbidden.
    """
    device = problem.graph.counts.device
    shape = problem.layout.batch_shape
    total = log_partition.expand(max(1, torch.Size(shape).numel())).reshape(shape).to(device)
    flat = marginals.reshape(*lead_of(problem), -1).to(device)
    possible = problem.expand(total > -float("inf"), problem.graph.variable_of_entry)
    flat = torch.where(possible, flat, 0.0)
    return Beliefs(marginals=flat, log_partition=total, lower=total, upper=total)
