"""Labels drawn from their conditional distribution, a colour class at a time.

Geman, Geman: Stochastic Relaxation, Gibbs Distributions, and the Bayesian Restoration of Images
(1984). Variables that share no factor are independent given the others, so a class is drawn at
once. Labels are drawn as the lowest cost after Gumbel noise, so their numbers may differ.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Int
from torch import Tensor

from groundstate.factors import FactorGraph
from groundstate.solver import Deadline
from groundstate_mrf.colouring import ColourClass, colour, colour_classes
from groundstate_mrf.entries import lowest, spread

_FEW = 64
"""Classes up to which a mask is kept for each."""


@dataclass(frozen=True, kw_only=True)
class Classes:
    """Colour classes, without a mask for each where a wide factor makes them many.

    Attributes:
        few: the classes, where they are few.
        colours: the class of each variable.
        count: how many classes there are.
        graph: the factors.
    """

    few: tuple[ColourClass, ...]
    colours: Int[Tensor, " variables"]
    count: int
    graph: FactorGraph

    def at(self, number: int) -> ColourClass:
        """One of the classes."""
        if self.few:
            return self.few[number]
        return ColourClass(variables=self.colours == number, graph=self.graph)


def classes_of(graph: FactorGraph) -> Classes:
    """Sets of variables that share no factor."""
    colours = colour(graph.groups, len(graph.counts)).to(graph.counts.device)
    count = int(colours.max()) + 1 if len(colours) else 0
    few = colour_classes(graph) if count <= _FEW else ()
    return Classes(few=few, colours=colours, count=count, graph=graph)


def sweep(
    classes: Classes,
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
    for number in range(begin, classes.count):
        labels = _drawn(classes.at(number), labels, temperature, rng)
        if deadline.passed and number + 1 < classes.count:
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
