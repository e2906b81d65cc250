"""`solver/sum-product`: belief propagation for marginals and log Z, in log space, any factors.

Kschischang, Frey, Loeliger: Factor Graphs and the Sum-Product Algorithm (2001). Messages are
energies: m_f→i(y_i) = -log Σ over the others of exp(-f - Σ n_j→f), with n_j→f = b_j - m_f→j and
beliefs b_j the sum of the messages that arrive. The marginals are exp(-b) normalised. The estimate
of log Z is Bethe's, at any messages (Yedidia, Freeman, Weiss: Constructing Free-Energy
Approximations and Generalized Belief Propagation Algorithms, 2005):

    log Z ≈ -c + Σ_f log Σ exp(-f - Σ n_i→f) - Σ_i (d_i - 1) log Σ exp(-b_i)

where d_i counts the factors at i. On forests both are exact once messages have crossed them; on
other graphs log Z is neither bounded from above nor from below by it in general. It lies below log
Z where all factors are log-supermodular with two labels (Ruozzi: The Bethe Partition Function of
Log-Supermodular Graphical Models, 2012).
"""

from dataclasses import dataclass, replace
from typing import Annotated, Literal

import torch
from annotated_types import Ge, Lt
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor

from groundstate.energy import Energy
from groundstate.factors import MessageGroup
from groundstate.solver import Beliefs, Deadline, State
from groundstate.status import Status
from groundstate_mrf.entries import add_up, log_softmin, lowest, spread
from groundstate_mrf.peeling import peel
from groundstate_mrf.problem import Problem, cheapest_labels, open_problem
from groundstate_mrf.wiring import Messages, Wire, collect, distance, incoming, normalised, wire

INFINITY = float("inf")


@dataclass(frozen=True, kw_only=True)
class SumProductState(State):
    """Adds the messages; `x` is each variable's likeliest label.

    Attributes:
        messages: from factors to variables, for each group, in nats; the least of each is 0.
        wires: how each group hangs in the graph.
        radius: steps after which messages have crossed the whole forest; -1 where it is none.
        change: largest change of a message in the last step; infinite before.
        empty: which problems are proved to have no labelling.
        log_partition: Bethe's estimate at the latest messages that it was made for, in nats.
        steps: steps done.
    """

    messages: Messages
    wires: tuple[Wire, ...]
    radius: int
    change: Float[Tensor, "..."]
    empty: Bool[Tensor, "..."]
    log_partition: Float[Tensor, "..."]
    steps: int


@dataclass(frozen=True, kw_only=True)
class SumProduct:
    """Marginals and Bethe's log Z: exact on forests, estimates elsewhere.

    Attributes:
        schedule: "parallel" sends all messages at once; "sequential" those of one group of factors
            after those of another, each from the newest, and needs less damping.
        damping: share of the old message that is kept, on cycles; forests need none.
        tolerance: largest change of a message, in nats, that counts as none.
        estimate_every: steps from one estimate of log Z to the next; each costs about a step.
    """

    schedule: Literal["parallel", "sequential"] = "parallel"
    damping: Annotated[float, Ge(0), Lt(1)] = 0.3
    tolerance: Annotated[float, Ge(1e-13)] = 1e-6
    estimate_every: Annotated[int, Ge(1)] = 8

    def init(
        self, energy: Energy, x0: Shaped[Tensor, "*shape"] | None, rng: torch.Generator
    ) -> SumProductState:
        problem = open_problem(energy)
        graph = problem.graph
        groups = graph.serving("messages", MessageGroup)
        labels = cheapest_labels(problem, rng) if x0 is None else problem.labels(x0)
        x = problem.configuration(labels)
        value = energy(x)
        peeling = peel(graph, graph.constant.dtype)
        wires = tuple(
            wire(graph, group, peeled, self.damping)
            for group, peeled in zip(groups, peeling.peeled, strict=True)
        )
        batch = problem.layout.batch_shape
        lead = batch if graph.segments is None else ()
        messages = tuple(graph.constant.new_zeros((*lead, len(each.entries))) for each in wires)
        beliefs = graph.constant.new_zeros((*lead, graph.entries))
        depth = int(peeling.depth.max()) if len(graph.counts) else 0
        forest = bool((peeling.depth >= 0).all())
        state = SumProductState(
            x=x,
            bound=graph.bound().expand(value.shape),
            messages=messages,
            wires=wires,
            radius=2 * depth + 2 if forest else -1,
            change=graph.constant.new_full(batch, INFINITY),
            empty=torch.zeros(batch, dtype=torch.bool, device=x.device),
            log_partition=graph.constant.new_zeros(batch),
            steps=0,
        )
        estimate = _bethe(problem, state, beliefs)
        return _told(problem, replace(state, log_partition=estimate), beliefs)

    def step(self, energy: Energy, state: SumProductState, deadline: Deadline) -> SumProductState:
        problem = open_problem(energy)
        graph = problem.graph
        groups = graph.serving("messages", MessageGroup)
        done = _batch(problem, self.status(state) != Status.RUNNING)
        beliefs = collect(graph, state.wires, state.messages)
        sent = list(state.messages)
        change = torch.zeros_like(state.change)
        ended = True
        for number, (group, each) in enumerate(zip(groups, state.wires, strict=True)):
            old = sent[number]
            message = normalised(each, group.messages(incoming(each, beliefs, old), 1.0))
            new = problem.keep(done, old, _damped(each, old, message), each.variables)
            change = torch.maximum(change, problem.largest(distance(old, new), each.variables))
            sent[number] = new
            if self.schedule == "sequential":
                beliefs = collect(graph, state.wires, tuple(sent))
                ended = number + 1 == len(groups)
            if deadline.passed and not ended:
                # what was not sent has not settled
                change = torch.full_like(change, INFINITY)
                break
        beliefs = collect(graph, state.wires, tuple(sent))
        change = torch.where(done, state.change, change)
        steps = state.steps + ended
        state = replace(state, messages=tuple(sent), change=change, steps=steps)
        settled = _batch(problem, self.status(state) != Status.RUNNING)
        due = state.steps % self.estimate_every == 0 or state.steps == state.radius
        if due or bool((settled & ~done).any()):
            estimate = torch.where(done, state.log_partition, _bethe(problem, state, beliefs))
            state = replace(state, log_partition=estimate)
        return _told(problem, state, beliefs)

    def status(self, state: SumProductState) -> Int[Tensor, "*batch"]:
        settled = state.change <= self.tolerance
        if state.radius >= 0:
            # messages that barely change may still be on their way along a chain
            settled = settled & _crossed(state)
        status = torch.where(settled, int(Status.CONVERGED), int(Status.RUNNING))
        status = torch.where(state.empty, int(Status.INFEASIBLE), status)
        return status.expand(state.bound.shape if state.bound is not None else status.shape)


def _crossed(state: SumProductState) -> Bool[Tensor, "..."]:
    """Where the graph is a forest and its messages have crossed it, or are at their fixed point."""
    crossed = 0 <= state.radius <= state.steps
    still = (state.change <= 1e-13) & (state.radius >= 0)
    return still | torch.full_like(still, crossed)


def _batch(problem: Problem, done: Bool[Tensor, "..."]) -> Bool[Tensor, "..."]:
    """Samples share their messages: the first one tells of all."""
    while done.dim() > len(problem.layout.batch_shape):
        done = done[0]
    return done


def _damped(
    each: Wire, old: Float[Tensor, "*batch places"], new: Float[Tensor, "*batch places"]
) -> Float[Tensor, "*batch places"]:
    if not each.damped:
        return new
    mixed = new.lerp(old, each.damping)
    return torch.where(new.isinf() | old.isinf(), new, mixed)


def _bethe(
    problem: Problem, state: SumProductState, beliefs: Float[Tensor, "*batch entries"]
) -> Float[Tensor, "..."]:
    """Bethe's estimate of log Z, in nats; -inf where a variable or a factor has nothing left."""
    graph = problem.graph
    own = _soft_lowest(problem, beliefs)
    degree = own.new_zeros(len(graph.counts))
    for each in graph.groups:
        degree = degree.index_add(0, each.slots, own.new_ones(len(each.slots)))
    # -log Z_i, (1 - d_i) times; a variable without factors has its labels to count
    total = graph.constant + problem.total((1 - degree) * torch.where(own.isinf(), 0.0, own))
    dead = problem.total(own.isinf().to(own.dtype))
    groups = graph.serving("messages", MessageGroup)
    for group, each, message in zip(groups, state.wires, state.messages, strict=True):
        free = incoming(each, beliefs, message)
        both = group.messages(free, 1.0) + free
        slots = _soft_lowest_slots(each, both)
        first = torch.searchsorted(group.owners, torch.arange(group.count, device=free.device))
        values = slots[..., first]
        total = total + graph.total(group, torch.where(values.isinf(), 0.0, values))
        dead = dead + graph.total(group, values.isinf().to(values.dtype))
    return torch.where(dead > 0, -INFINITY, -total)


def _soft_lowest(
    problem: Problem, beliefs: Float[Tensor, "*batch entries"]
) -> Float[Tensor, "*batch variables"]:
    """-log Σ exp(-b) of each variable."""
    graph = problem.graph
    shift = lowest(graph, beliefs)
    finite = torch.where(shift.isfinite(), shift, 0.0)
    return finite - add_up(graph, (spread(graph, finite) - beliefs).exp()).log()


def _soft_lowest_slots(
    each: Wire, values: Float[Tensor, "*batch places"]
) -> Float[Tensor, "*batch slots"]:
    """The same for each slot of a group."""
    shift = each.lowest(values)
    finite = torch.where(shift.isfinite(), shift, 0.0)
    sums = values.new_zeros((*values.shape[:-1], each.slots))
    sums = sums.index_add(-1, each.slot, (finite[..., each.slot] - values).exp())
    return finite - sums.log()


def _told(
    problem: Problem, state: SumProductState, beliefs: Float[Tensor, "*batch entries"]
) -> SumProductState:
    """With labels, marginals and what is known of log Z."""
    graph, lead = problem.graph, state.bound.shape if state.bound is not None else ()
    marginals = log_softmin(graph, beliefs).exp()
    alive = torch.where(marginals.isnan(), 1 / spread(graph, graph.counts).to(beliefs), marginals)
    empty = state.empty | (problem.total(lowest(graph, beliefs).isinf().to(torch.int64)) > 0)
    x = state.x
    if state.steps:
        labels = graph.best_labels(beliefs).expand(problem.labels(x).shape)
        x = problem.configuration(labels)
    state = replace(state, x=x, empty=empty)
    log_z = torch.where(empty, -INFINITY, state.log_partition)
    sure = _crossed(state) | empty
    told = Beliefs(
        marginals=alive,
        log_partition=log_z.expand(lead),
        lower=torch.where(sure, log_z, -INFINITY).expand(lead),
        upper=torch.where(sure, log_z, INFINITY).expand(lead),
    )
    return replace(state, beliefs=told)
