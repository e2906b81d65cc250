"""`solver/fusion`: the best mixture of the labelling so far with proposed ones, by minimum cuts.

Lempitsky, Rother, Roth, Blake: Fusion Moves for Markov Random Field Optimization (2010). Edges that
are not submodular for a mixture are truncated as for expansions, instead of QPBO, so that the
energy never rises and every variable is decided.
"""

from dataclasses import dataclass, replace
from typing import Annotated

import numpy as np
import torch
from annotated_types import Ge
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from groundstate.energy import Energy
from groundstate.solver import Deadline, State, generator_from
from groundstate.status import Status
from groundstate_moves.cycles import proven
from groundstate_moves.mixing import Mixer, mixer
from groundstate_moves.proposals import PROPOSALS, Proposal, ProposalName
from groundstate_moves.rows import configuration_of, flat_rows, labels_of
from groundstate_mrf.problem import cheapest_labels, open_problem

_SEEDS = 1 << 62


@dataclass(frozen=True, kw_only=True)
class FusionState(State):
    """Adds how long nothing has helped.

    Attributes:
        problems: the problems one by one.
        values: the energy of each sample of each problem, in nats.
        quiet: rounds in a row in which no proposal helped.
        turn: rounds done.
        patience: rounds in a row that end it.
    """

    problems: tuple[Mixer, ...]
    values: Float[Tensor, "*batch"]
    quiet: Int[Tensor, "*batch"]
    turn: int
    patience: Int[Tensor, "*batch"]


@dataclass(frozen=True, kw_only=True)
class Fusion:
    """Mixtures with proposals. A step is a round: one proposal of each kind.

    Attributes:
        proposals: "constant" (each label in turn), "descent" (ICM from random labels), "smoothed"
            (cheapest labels by averaged costs), "random".
        own: a further proposal; see `groundstate_moves.proposals.Proposal`.
        patience: rounds without success after every label had its turn, after which it ends.
    """

    proposals: tuple[ProposalName, ...] = ("constant", "descent", "smoothed")
    own: Proposal | None = None
    patience: Annotated[int, Ge(1)] = 4

    def init(
        self, energy: Energy, x0: Shaped[Tensor, "*shape"] | None, rng: torch.Generator
    ) -> FusionState:
        problem = open_problem(energy)
        problems = tuple(mixer(flat) for flat in flat_rows(problem))
        labels = cheapest_labels(problem, rng) if x0 is None else problem.labels(x0)
        like = problem.evaluate(labels)
        x = problem.configuration(labels)
        most = [int(each.flat.counts.max(initial=1)) + self.patience for each in problems]
        repeated = [most[k % len(most)] for k in range(like.numel())]
        return FusionState(
            x=x,
            bound=problem.graph.bound().expand(like.shape),
            rng=rng.get_state(),
            problems=problems,
            values=like.double(),
            quiet=torch.zeros(like.shape, dtype=torch.int64, device=like.device),
            turn=0,
            patience=torch.tensor(repeated, device=like.device).reshape(like.shape),
        )

    def step(self, energy: Energy, state: FusionState, deadline: Deadline) -> FusionState:
        problem = open_problem(energy)
        assert state.rng is not None
        generator = generator_from(state.rng, torch.device("cpu"))
        rng = np.random.default_rng(int(torch.randint(_SEEDS, (1,), generator=generator)))
        own = () if self.own is None else (self.own,)
        offered = (*(PROPOSALS[name] for name in self.proposals), *own)
        parts = labels_of(problem, state.x)
        done = (self.status(state) != Status.RUNNING).flatten()
        values, quiet = state.values.flatten().clone(), state.quiet.flatten().clone()
        for k, labels in enumerate(parts):
            if bool(done[k]):
                continue
            each, helped = state.problems[k % len(state.problems)], False
            for propose in offered:
                right = propose(each.flat, labels.copy(), state.turn, rng)
                helped = each.mix(labels, labels.copy(), right) or helped
                if deadline.passed:
                    break
            values[k] = each.flat.energy(labels)
            quiet[k] = 0 if helped else quiet[k] + 1
            if deadline.passed:
                break
        return replace(
            state,
            x=configuration_of(problem, parts, state.x),
            rng=generator.get_state(),
            values=values.reshape(state.values.shape),
            quiet=quiet.reshape(state.quiet.shape),
            turn=state.turn + 1,
        )

    def status(self, state: FusionState) -> Int[Tensor, "*batch"]:
        ended = torch.where(state.values.isfinite(), int(Status.CONVERGED), int(Status.VIOLATING))
        status = torch.where(state.quiet >= state.patience, ended, int(Status.RUNNING))
        return torch.where(proven(state.values, state.bound), int(Status.OPTIMAL), status)
