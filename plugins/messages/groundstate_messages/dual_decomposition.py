"""`solver/dual-decomposition`: parts with copies of their variables, made to agree.

Komodakis, Paragios, Tziritas: MRF Energy Minimization and Beyond via Dual Decomposition (2011). The
factors of two variables are split into forests, each factor of more variables is a part of its own,
and every part has its own copy of its variables. With costs θ_p(y_i) of the copies that add up to
the costs of the variables,

    Σ_p min over y of E_p(y) + θ_p(y)  ≤  min E,

and the bound is raised by sub-gradient steps: what the minimisers of the parts chose gets dearer
for them, in relation to what the copies chose on average (the projection). When all copies agree
the bound is the energy. Steps are Polyak's, (energy - bound) / ‖g‖² with the best energy known,
halved when the bound has not risen for a while; or decay as 1/√t. Labellings are the copies'
majority and the solutions of the forests, in turn.

Wide factors are minimised through their min-marginals alone, so that any group that serves
messages can be a part: costs begin with a little noise that adds up to nothing over the copies, and
so the minimiser is the label of each slot's lowest min-marginal.
"""

from dataclasses import dataclass, replace
from typing import Annotated, Literal

import torch
from annotated_types import Ge, Gt
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from groundstate.energy import Energy
from groundstate.move import to
from groundstate.solver import Deadline, State
from groundstate.status import Status
from groundstate_messages.parts import Copies, Minimisers, Parts, minimise, split, spread_out, total
from groundstate_messages.rows import (
    Found,
    improved,
    per_problem,
    problem_dimensions,
    rounded_down,
    statuses,
)
from groundstate_mrf.flat import join_labels, split_labels
from groundstate_mrf.problem import Problem, cheapest_labels, open_problem


@dataclass(frozen=True, kw_only=True)
class DualDecompositionState(State):
    """Adds the costs of the copies; `x` is the best labelling so far.

    Attributes:
        value: energy of `x`, in float64.
        lower: the best lower bound so far, in float64.
        parts: what the energy is split into.
        costs: of the copies, in nats; they add up to the costs of the variables.
        quiet: steps in a row in which the bound has not risen.
        steps: steps done.
    """

    value: Float[Tensor, "*lead"]
    lower: Float[Tensor, "..."]
    parts: Parts
    costs: Copies
    quiet: Int[Tensor, "..."]
    steps: int


@dataclass(frozen=True, kw_only=True)
class DualDecomposition:
    """Lower bound and labellings from parts: forests, and factors of any order and form.

    Attributes:
        rule: "polyak" steps by the gap between energy and bound; "decaying" by size / √t.
        size: of the steps: share of Polyak's, or nats.
        patience: steps without a rise of the bound after which Polyak's are halved; after ten times
            as many it has converged.
        noise: of the first costs, in nats, that parts have one minimiser.
    """

    rule: Literal["polyak", "decaying"] = "polyak"
    size: Annotated[float, Gt(0)] = 1.0
    patience: Annotated[int, Ge(1)] = 20
    noise: Annotated[float, Gt(0)] = 1e-4

    def init(
        self, energy: Energy, x0: Shaped[Tensor, "*shape"] | None, rng: torch.Generator
    ) -> DualDecompositionState:
        problem, fine = open_problem(energy), _fine(energy)
        batch = problem.layout.batch_shape
        parts = split(fine)
        labels = cheapest_labels(problem, rng) if x0 is None else problem.labels(x0)
        x = problem.configuration(labels)
        value = energy(x)
        shares = spread_out(fine, parts, parts.costs / parts.copies.clamp(min=1))
        draw = torch.Generator().manual_seed(int(torch.randint(2**31, (1,), generator=rng)))
        ones = spread_out(fine, parts, torch.ones_like(parts.costs))
        start = _noise(ones, self.noise, draw)
        drift = spread_out(fine, parts, total(fine, parts, start) / parts.copies.clamp(min=1))
        return DualDecompositionState(
            x=x,
            energy=value,
            bound=problem.graph.bound().expand(value.shape),
            value=fine.evaluate(labels),
            lower=torch.full(batch, -float("inf"), dtype=torch.float64),
            parts=parts,
            costs=_combined(fine, parts, shares, start, drift, [1.0] * len(parts.forests)),
            quiet=torch.zeros(batch, dtype=torch.int64),
            steps=0,
        )

    def step(
        self, energy: Energy, state: DualDecompositionState, deadline: Deadline
    ) -> DualDecompositionState:
        problem, fine = open_problem(energy), _fine(energy)
        parts = state.parts
        done = per_problem(problem, self.status(state) != Status.RUNNING)
        best = minimise(fine, parts, state.costs)
        bound = fine.graph.constant + best.value
        running = ~torch.tensor(done).reshape(bound.shape)
        rise = bound - state.lower
        risen = rise > 1e-9 * (1 + bound.abs())
        quiet = torch.where(risen, 0, state.quiet + 1)
        lower = torch.where(running, torch.maximum(state.lower, bound), state.lower)
        votes = total(fine, parts, best.chosen)
        found = _candidates(fine, parts, best, votes, state.steps)
        found = {k: each for k, each in found.items() if not done[k]}
        x, value = improved(problem, state.x, state.value, found)
        state = replace(
            state,
            x=x,
            energy=state.energy if x is state.x else problem.energy(x),
            bound=rounded_down(lower, problem.graph.constant.dtype).expand(value.shape),
            value=value,
            lower=lower,
            quiet=torch.where(running, quiet, state.quiet),
            steps=state.steps + 1,
        )
        return self._moved(fine, state, best, votes, bound, done)

    def status(self, state: DualDecompositionState) -> Int[Tensor, "*batch"]:
        return statuses(state.value, state.lower, state.quiet >= 10 * self.patience)

    def _moved(
        self,
        fine: Problem,
        state: DualDecompositionState,
        best: Minimisers,
        votes: Float[Tensor, "*batch entries"],
        bound: Float[Tensor, "..."],
        done: list[bool],
    ) -> DualDecompositionState:
        """After a sub-gradient step of the problems that are not done."""
        parts = state.parts
        mean = votes / parts.copies.clamp(min=1)
        # Σ over copies of (chosen - mean)², from Σ chosen² = Σ chosen
        square = fine.total(_per_variable(fine, votes - mean * votes))
        target = state.value
        while target.dim() > problem_dimensions(fine):
            target = target.amin(0)
        gap = (target - bound).clamp(min=0) / square.clamp(min=1e-12)
        polyak = gap * self.size * 0.5 ** (state.quiet // self.patience)
        decaying = torch.full_like(polyak, self.size / state.steps**0.5)
        usable = polyak.isfinite() if self.rule == "polyak" else torch.zeros_like(gap) > 0
        length = torch.where(usable, polyak, decaying)
        length = torch.where(bound.isfinite(), length, 0.0).reshape(-1)
        lengths = [0.0 if over else float(each) for over, each in zip(done, length, strict=True)]
        drift = spread_out(fine, parts, mean)
        costs = _combined(fine, parts, state.costs, best.chosen, drift, lengths)
        return replace(state, costs=costs)


def _fine(energy: Energy) -> Problem:
    """The problem in float64."""
    problem = open_problem(energy)
    if problem.graph.constant.dtype == torch.float64:
        return problem
    return open_problem(to(energy, dtype=torch.float64))


def _noise(where: Copies, size: float, rng: torch.Generator) -> Copies:
    """Random numbers where there are copies."""

    def drawn(each: Tensor) -> Tensor:
        return size * each * torch.randn(each.shape, generator=rng, dtype=torch.float64)

    return Copies(
        forests=tuple(drawn(each) for each in where.forests),
        groups=tuple(drawn(each) for each in where.groups),
    )


def _combined(
    fine: Problem,
    parts: Parts,
    costs: Copies,
    up: Copies,
    down: Copies,
    lengths: list[float],
) -> Copies:
    """Costs + length · (up - down), each problem by its own length; forbidden stays forbidden."""
    lead = fine.layout.batch_shape
    scale = torch.tensor(lengths, dtype=torch.float64).reshape(lead)
    groups = zip(parts.wires, costs.groups, up.groups, down.groups, strict=True)
    forests = zip(costs.forests, up.forests, down.forests, lengths, strict=True)
    return Copies(
        forests=tuple(old + each * (high - low) for old, high, low, each in forests),
        groups=tuple(
            old + fine.expand(scale, wire.variables) * (high - low)
            for wire, old, high, low in groups
        ),
    )


def _per_variable(
    fine: Problem, values: Float[Tensor, "*batch entries"]
) -> Float[Tensor, "*batch variables"]:
    zeros = values.new_zeros((*values.shape[:-1], len(fine.graph.counts)))
    return zeros.index_add(-1, fine.graph.variable_of_entry, values)


def _candidates(
    fine: Problem,
    parts: Parts,
    best: Minimisers,
    votes: Float[Tensor, "*batch entries"],
    step: int,
) -> dict[int, Found]:
    """The better one of the majority and of one forest's labels, for each problem."""
    graph = fine.graph
    # where nobody has a vote, and where they are even, the costs decide
    finite = torch.where(parts.costs.isfinite(), parts.costs, 1e300)
    scale = 1 / (1 + 4 * finite.abs().clamp(max=1e6).amax()) if finite.numel() else 1.0
    majority = graph.best_labels(finite.clamp(-1e6, 1e6) * scale - votes)
    forest = _from_forests(fine, parts, best, majority, step)
    found: dict[int, Found] = {}
    for labels in (majority, forest):
        energies = fine.evaluate(labels).reshape(-1)
        for k, row in enumerate(split_labels(graph, labels)):
            value = float(energies[k])
            if k not in found or value < found[k].energy:
                found[k] = Found(labels=row, energy=value)
    return found


def _from_forests(
    fine: Problem,
    parts: Parts,
    best: Minimisers,
    majority: Int[Tensor, "*batch variables"],
    step: int,
) -> Int[Tensor, "*batch variables"]:
    """Labels of one forest of each problem, another one each step, and the majority elsewhere."""
    rows = split_labels(fine.graph, majority)
    for k, (own, labels) in enumerate(zip(parts.forests, best.labels, strict=True)):
        if own:
            t = step % len(own)
            touched = own[t].touched[own[t].problem.arrays.offsets]
            rows[k][touched] = labels[t].numpy()[touched]
    return join_labels(fine.graph, rows, majority)
