"""The same problems with their variables in another order."""

import torch
from jaxtyping import Int
from torch import Tensor

from groundstate.testing.problems.discrete import factors_of
from groundstate.testing.problems.problem import Problem
from groundstate.testing.problems.quadratic import DenseQuadratic
from groundstate.testing.tables import TableEnergy, table_energy
from groundstate.testing.trees import generator


def relabelled(problem: Problem) -> tuple[Problem, Int[Tensor, " variables"]] | None:
    """The same problem with its variables in another order, and that order; None where not known.

    Variable `order[i]` of the original is variable `i` of the copy.
    """
    energy = problem.energy
    if isinstance(energy, DenseQuadratic) and not energy.space.batch_shape:
        n = energy.matrix.shape[-1]
        order = torch.randperm(n, generator=generator(30))
        copy = DenseQuadratic(
            matrix=energy.matrix[order][:, order],
            linear=energy.linear.flatten()[order].reshape(energy.linear.shape),
            constant=energy.constant,
            space=energy.space,
        )
        return Problem(name=f"{problem.name}, renamed", energy=copy), order
    if isinstance(energy, TableEnergy) and not energy.space.batch_shape:
        return _relabelled_graph(problem.name, energy)
    return None


def _relabelled_graph(name: str, energy: TableEnergy) -> tuple[Problem, Int[Tensor, " variables"]]:
    graph = energy.graph
    order = torch.randperm(len(graph.counts), generator=generator(31))
    position = torch.argsort(order)
    factors = [
        (tuple(int(position[variable]) for variable in variables), table)
        for variables, table in factors_of(energy, None)
    ]
    copy = table_energy(
        graph.counts[order],
        factors,
        constant=float(graph.constant),
        serves=graph.groups[0].serves,
    )
    return Problem(name=f"{name}, renamed", energy=copy), order
