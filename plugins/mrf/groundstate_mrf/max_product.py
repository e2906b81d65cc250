"""`solver/max-product`: belief propagation for the best labelling, as min-sum, with a lower bound.

Messages are energies (log space), all at once, from the factor groups. With beliefs b_i = Σ_f m_fi
the energy is, for any messages m and any shares γ, the reparametrisation

    E(y) = c + Σ_f [f(y_f) + Σ_i ((1 - γ_fi) b_i - m_fi)(y_i)] + Σ_i (1 - d_i + Σ_f γ_fi) b_i(y_i)

where d_i counts the factors at i, so the sum of the minima of its terms bounds every energy from
below (Wainwright, Jaakkola, Willsky: MAP estimation via agreement on trees, 2005; Kolmogorov:
Convergent TRW, 2006). The shares of `groundstate_mrf.peeling` leave nothing over at the variables
but the roots, and make the bound equal to the least energy on trees.
"""

from dataclasses import dataclass, replace
from typing import Annotated

import torch
from annotated_types import Ge, Gt, Lt
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor

from groundstate.energy import Energy
from groundstate.factors import MessageGroup
from groundstate.solver import Deadline, State
from groundstate.status import Status
from groundstate_mrf.entries import lowest
from groundstate_mrf.peeling import Peeling, peel
from groundstate_mrf.problem import Problem, cheapest_labels, open_problem
from groundstate_mrf.wiring import Messages, Wire, collect, distance, incoming, normalised, wire

_ROUNDING = {torch.float64: 1e-10, torch.float32: 1e-6}


@dataclass(frozen=True, kw_only=True)
class MaxProductState(State):
    """Adds the messages; `x` is the best labelling decoded so far.

    Attributes:
        value: energy of `x`.
        lower: the best lower bound so far.
        messages: from factors to variables, for each group, in nats; the least of each is 0.
        wires: how each group hangs in the graph.
        peeling: which part of the graph is a forest.
        change: largest change of a message in the last step.
        steps: steps done.
    """

    value: Float[Tensor, "*batch"]
    lower: Float[Tensor, "*batch"]
    messages: Messages
    wires: tuple[Wire, ...]
    peeling: Peeling
    change: Float[Tensor, "*batch"]
    steps: int


@dataclass(frozen=True, kw_only=True)
class MaxProduct:
    """Min-sum messages: exact on trees, a good start on graphs with cycles.

    Attributes:
        damping: share of the old message that is kept, on cycles; trees need none.
        tolerance: largest change of a message, in nats, that counts as none.
        bound_every: steps from one lower bound to the next; each costs about a step.
    """

    damping: Annotated[float, Ge(0), Lt(1)] = 0.5
    tolerance: Annotated[float, Gt(0)] = 1e-4
    bound_every: Annotated[int, Ge(1)] = 8

    def init(
        self, energy: Energy, x0: Shaped[Tensor, "*shape"] | None, rng: torch.Generator
    ) -> MaxProductState:
        problem = open_problem(energy)
        graph = problem.graph
        groups = graph.serving("messages", MessageGroup)
        labels = cheapest_labels(problem, rng) if x0 is None else problem.labels(x0)
        value = problem.evaluate(labels)
        lower = graph.bound().expand(value.shape)
        dtype = graph.constant.dtype
        peeling = peel(graph, dtype)
        wires = tuple(
            wire(graph, group, peeled, self.damping)
            for group, peeled in zip(groups, peeling.peeled, strict=True)
        )
        lead = energy.space.layout.batch_shape if graph.segments is None else ()
        zeros = [graph.constant.new_zeros((*lead, len(each.entries))) for each in wires]
        return MaxProductState(
            x=problem.configuration(labels),
            energy=value,
            bound=lower,
            value=value,
            lower=lower,
            messages=tuple(zeros),
            wires=wires,
            peeling=peeling,
            change=torch.full_like(value, float("inf")),
            steps=0,
        )

    def step(self, energy: Energy, state: MaxProductState, deadline: Deadline) -> MaxProductState:
        problem = open_problem(energy)
        done = self.status(state) != Status.RUNNING
        beliefs = collect(problem.graph, state.wires, state.messages)
        sent: list[Tensor] = []
        change = torch.zeros_like(state.change)
        groups = problem.graph.serving("messages", MessageGroup)
        for group, each, old in zip(groups, state.wires, state.messages, strict=True):
            message = group.messages(incoming(each, beliefs, old), 0.0)
            new = _damped(each, old, normalised(each, message))
            new = _frozen(problem, done, old, new, each)
            change = torch.maximum(change, problem.largest(distance(old, new), each.variables))
            sent.append(new)
        state = replace(state, messages=tuple(sent), change=change, steps=state.steps + 1)
        beliefs = collect(problem.graph, state.wires, state.messages)
        state = _better(problem, state, problem.graph.best_labels(beliefs))
        settled = change <= self.tolerance
        if state.steps % self.bound_every == 0 or bool((settled & ~done).any()):
            lower = torch.maximum(state.lower, _bound(problem, state, beliefs))
            state = replace(state, bound=lower, lower=lower)
            if bool((settled & ~done & ~_proven(state)).any()) and bool(
                (state.peeling.depth >= 0).all()
            ):
                state = _better(problem, state, _back_trace(problem, state, beliefs))
        return state

    def status(self, state: MaxProductState) -> Int[Tensor, "*batch"]:
        settled = torch.where(state.change <= self.tolerance, Status.CONVERGED, Status.RUNNING)
        status = torch.where(_proven(state), int(Status.OPTIMAL), settled)
        return torch.where(state.lower == float("inf"), int(Status.INFEASIBLE), status)


def _proven(state: MaxProductState) -> Bool[Tensor, "*batch"]:
    """Whether the lower bound meets the energy, to rounding."""
    slack = _ROUNDING.get(state.value.dtype, 1e-3) * (1 + state.value.abs())
    return state.value.isfinite() & (state.value <= state.lower + slack)


def _damped(
    each: Wire, old: Float[Tensor, "*batch places"], new: Float[Tensor, "*batch places"]
) -> Float[Tensor, "*batch places"]:
    mixed = new.lerp(old, each.damping) if each.damped else new
    # contradicting constraints on a cycle let messages grow: stop short of infinity, which forbids
    limit = 1 / torch.finfo(new.dtype).eps
    if bool(mixed.amax() <= limit):
        return mixed
    return torch.where(new.isinf() | old.isinf(), new, mixed.clamp(max=limit))


def _frozen(
    problem: Problem,
    done: Bool[Tensor, "..."],
    old: Float[Tensor, "*batch places"],
    new: Float[Tensor, "*batch places"],
    each: Wire,
) -> Float[Tensor, "*batch places"]:
    """Messages of finished problems stay; with samples of x0, once all of them are finished."""
    shape = old.shape[:-1] if problem.graph.segments is None else (problem.problems,)
    while done.dim() > len(shape):
        done = done.all(0)
    return problem.keep(done, old, new, each.variables)


def _better(
    problem: Problem, state: MaxProductState, labels: Int[Tensor, "*lead variables"]
) -> MaxProductState:
    """The state with these labels where they are better."""
    value = problem.evaluate(labels)
    better = value < state.value
    variables = torch.arange(labels.shape[-1], device=labels.device)
    chosen = torch.where(problem.expand(better, variables), labels, problem.labels(state.x))
    energy = torch.where(better, value, state.value)
    return replace(state, x=problem.configuration(chosen), energy=energy, value=energy)


def _bound(
    problem: Problem, state: MaxProductState, beliefs: Float[Tensor, "*batch entries"]
) -> Float[Tensor, "..."]:
    """Sum of the minima of the reparametrisation's terms."""
    graph = problem.graph
    rest = torch.where(state.peeling.roots, lowest(graph, beliefs), 0.0)
    total = graph.constant + problem.total(rest)
    noise = torch.zeros_like(state.lower)
    groups = graph.serving("messages", MessageGroup)
    for group, each, message, share in zip(
        groups, state.wires, state.messages, state.peeling.shares, strict=True
    ):
        belief = beliefs.index_select(-1, each.entries)
        cost = (1 - share[each.slot]) * belief - message
        # a label that some message forbids is in no labelling of finite energy
        cost = torch.where(belief.isinf(), float("inf"), cost)
        minima = group.messages(cost, 0.0) + cost
        first = torch.searchsorted(group.owners, torch.arange(group.count, device=cost.device))
        total = total + graph.total(group, each.lowest(minima)[..., first])
        finite = torch.where(cost.isfinite(), cost.abs(), 0.0)
        noise = torch.maximum(noise, problem.largest(finite, each.variables))
    return total - 4 * torch.finfo(noise.dtype).eps * noise


def _back_trace(
    problem: Problem, state: MaxProductState, beliefs: Float[Tensor, "*batch entries"]
) -> Int[Tensor, "*batch variables"]:
    """Labels from the roots on, each given its parents: exact on forests, ties or not."""
    graph, depth = problem.graph, state.peeling.depth
    labels = graph.best_labels(beliefs)
    groups = graph.serving("messages", MessageGroup)
    for level in range(1, int(depth.max()) + 1):
        chosen = torch.where(graph.one_hot(labels, torch.float64) > 0, 0.0, float("inf"))
        scores = torch.zeros_like(beliefs)
        for group, each, message, child in zip(
            groups, state.wires, state.messages, state.peeling.child, strict=True
        ):
            free = incoming(each, beliefs, message)
            fixed = depth[each.variables] < level
            given = torch.where(fixed, chosen.index_select(-1, each.entries).to(free.dtype), free)
            cost = torch.where(child[each.slot], group.messages(given, 0.0) + free, 0.0)
            scores = scores.index_add(-1, each.entries, cost)
        labels = torch.where(depth == level, graph.best_labels(scores), labels)
    return labels
