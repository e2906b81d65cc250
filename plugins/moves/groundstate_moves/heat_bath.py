"""Labels drawn from their conditional distribution, a colour class at a time.

Geman, Geman: Stochastic Relaxation, Gibbs Distributions, and the Bayesian Restoration of Images
(1984). Variables that share no factor are independent given the others, so a class is drawn at
once. Labels are drawn as the lowest cost after Gumbel noise, so their numbers may differ.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Int
from torch import Tensor

from groundstate.solver import Deadline
from groundstate_mrf.colouring import ColourClass
from groundstate_mrf.entries import lowest, spread


def sweep(
    classes: Sequence[ColourClass],
    labels: Int[Tensor, "*lead variables"],
    temperature: float,
    rng: torch.Generator,
    deadline: Deadline,
    begin: int = 0,
) -> tuple[Int[Tensor, "*lead variables"], int]:
    """Draw every class once from p ∝ exp(-E / temperature), from class `begin` on.

    Returns:
        The labels, and the class to go on with: 0 where the sweep is complete.
    """
    for number in range(begin, len(classes)):
        labels = _drawn(classes[number], labels, temperature, rng)
        if deadline.passed and number + 1 < len(classes):
            return labels, number + 1
    return labels, 0


def _drawn(
    each: ColourClass,
    labels: Int[Tensor, "*lead variables"],
    temperature: float,
    rng: torch.Generator,
) -> Int[Tensor, "*lead variables"]:
    graph = each.graph
    costs = graph.moves(labels).expand(*labels.shape[:-1], -1)
    # where the others forbid all labels, any is drawn, so that they get free
    stuck = spread(graph, lowest(graph, costs).isinf())
    costs = torch.where(stuck, 0.0, costs) / temperature
    uniform = torch.rand(costs.shape, generator=rng, dtype=torch.float64, device=costs.device)
    noise = -torch.log(-torch.log(uniform.clamp(min=torch.finfo(torch.float64).tiny)))
    drawn = graph.best_labels(costs.double() - noise)
    return torch.where(each.variables, drawn, labels)
