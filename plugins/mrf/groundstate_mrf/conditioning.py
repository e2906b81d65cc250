"""Problems with some variables given, or with fewer labels, as smaller problems and back.

The energy of a labelling of the smaller problem is that of the labelling it stands for, which
`Conditioned.decode` gives: also with infinities, and a constant for the factors that are settled.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from groundstate.adapter import Adapted
from groundstate.energy import Energy
from groundstate.errors import FormatError, ViewError
from groundstate.factors import FactorGroup
from groundstate_mrf.evidence import read_evidence
from groundstate_mrf.factor_graph import FactorGraphEnergy
from groundstate_mrf.groups.tables import TableGroup
from groundstate_mrf.problem import Problem, open_problem
from groundstate_mrf.restricting import restricted
from groundstate_mrf.restriction import Restriction
from groundstate_mrf.typed import common_shape, whole


@dataclass(frozen=True, kw_only=True)
class Conditioned:
    """A smaller problem.

    Attributes:
        energy: its energy, over the variables that are left, in their order.
        restriction: which variables and labels those are.
        problem: the problem before.
    """

    energy: FactorGraphEnergy
    restriction: Restriction
    problem: Problem

    def decode(self, labels: Int[Tensor, "*shape variables"]) -> Shaped[Tensor, "..."]:
        """The configuration of the problem before."""
        return self.problem.configuration(self.restriction.full(labels))


def clamp(energy: Energy, labels: Mapping[int, int]) -> Conditioned:
    """The problem of all other variables, given these labels by variable."""
    return restrict(energy, {variable: [label] for variable, label in labels.items()})


def subproblem(
    energy: Energy, variables: Sequence[int], labels: Int[Tensor, " all_variables"]
) -> Conditioned:
    """The problem of some variables, given the labels of all others in a flat labelling."""
    mine = set(variables)
    rest = {each: label for each, label in enumerate(whole(labels)) if each not in mine}
    return clamp(energy, rest)


def restrict(energy: Energy, allowed: Mapping[int, Sequence[int]]) -> Conditioned:
    """The problem in which some variables may take fewer labels; those with one drop out.

    Args:
        energy: any energy with a factor graph, a batch too.
        allowed: the labels by variable; new label 0 is the first of them.

    Raises:
        ViewError: the energy has no factor graph, or is a union.
        ValueError: a variable or a label does not exist, or none is left.
    """
    problem = open_problem(energy)
    graph = problem.graph
    if graph.segments is not None:
        raise ViewError("condition the problems of a union one by one, before `groundstate.union`")
    to = _restriction(graph.counts, allowed)
    groups: list[FactorGroup] = []
    constant = graph.constant
    for group in graph.groups:
        found, settled = restricted(group, to, tuple(graph.constant.shape))
        groups += found
        constant = constant + settled
    if not groups:
        # solvers take the batch from the factors, so there is one, of nothing
        groups.append(_nothing(to, constant))
    constant = constant.expand(common_shape(constant.shape, graph.constant.shape))
    smaller = FactorGraphEnergy(counts=to.new_counts, groups=tuple(groups), constant=constant)
    return Conditioned(energy=smaller, restriction=to, problem=problem)


def _nothing(to: Restriction, constant: Float[Tensor, "..."]) -> TableGroup:
    """A factor on the first variable that is 0 everywhere."""
    first = torch.zeros((1, 1), dtype=torch.int64, device=constant.device)
    tables = constant.new_zeros((1, int(to.new_counts[0])))
    return TableGroup(scope=first, first=first, tables=tables, total=to.total)


def _restriction(
    counts: Int[Tensor, " variables"], allowed: Mapping[int, Sequence[int]]
) -> Restriction:
    sizes = whole(counts)
    choices = [list(range(size)) for size in sizes]
    kept = [True] * len(sizes)
    for variable, labels in allowed.items():
        if not 0 <= variable < len(sizes):
            raise ValueError(f"variables are 0 ... {len(sizes) - 1}, got {variable}")
        mine = list(labels)
        if (
            not mine
            or len(set(mine)) < len(mine)
            or not 0 <= min(mine) <= max(mine) < sizes[variable]
        ):
            raise ValueError(
                f"variable {variable} may take different labels of 0 ... {sizes[variable] - 1}, at "
                f"least one, got {mine}"
            )
        choices[variable] = mine
        kept[variable] = len(mine) > 1
    if kept and not any(kept):
        # a problem has variables: the last one stays, with its one label
        kept[-1] = True
    flat = [label for each in choices for label in each]
    return Restriction(
        counts=counts,
        choices=torch.tensor(flat, dtype=torch.int64, device=counts.device),
        widths=torch.tensor([len(each) for each in choices], device=counts.device),
        kept=torch.tensor(kept, dtype=torch.bool, device=counts.device),
    )


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """`adapter/evidence`: the problem given some labels, from a UAI evidence file or a list.

    The lowest energy given evidence is not below that without, so bounds do not transfer.

    Attributes:
        file: a `.uai.evid` file with one sample; empty for none.
        variables: further variables that are given.
        labels: their labels.
    """

    file: str = ""
    variables: tuple[int, ...] = ()
    labels: tuple[int, ...] = ()

    def adapt(self, energy: Energy) -> Adapted:
        given = dict(zip(self.variables, self.labels, strict=True))
        if self.file:
            counts = whole(open_problem(energy).graph.counts)
            samples = read_evidence(Path(self.file), counts)
            if len(samples) != 1:
                expected = "one sample of evidence (write each to a file of its own)"
                raise FormatError(Path(self.file), None, expected, f"{len(samples)} samples")
            given |= samples[0]
        found = clamp(energy, given)
        return Adapted(energy=found.energy, decode=found.decode, bound_transfers=False)
