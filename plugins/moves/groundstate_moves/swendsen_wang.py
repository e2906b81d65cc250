"""`solver/swendsen-wang`: samples of Potts problems, cluster by cluster.

Swendsen, Wang: Nonuniversal Critical Dynamics in Monte Carlo Simulations (1987), with label costs
as in Higdon: Auxiliary Variable Methods for Markov Chain Monte Carlo with Applications (1998), §2:
given the labels, edges between equal ones are bound with probability 1 - exp(-w/T), w being the
price of unlike labels; given the bonds, a cluster takes label a with probability ∝ exp(-Σ costs/T).
Both draws keep p(y) ∝ exp(-E(y)/T).
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Annotated, cast

import numpy as np
import torch
from annotated_types import Ge, Gt
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from groundstate.energy import Energy
from groundstate.errors import ViewError
from groundstate.solver import Beliefs, Deadline, State, generator_from
from groundstate.status import Status
from groundstate_moves import cluster_kernel
from groundstate_moves.network import Reals
from groundstate_moves.rows import configuration_of, flat_rows, labels_of
from groundstate_mrf.flat import FlatPairwise
from groundstate_mrf.problem import open_problem

_redraw = cast(Callable[..., None], cluster_kernel.redraw_clusters)
_SEEDS = 1 << 62
_ROUNDING = 1e-12


@dataclass(frozen=True, kw_only=True)
class SwendsenWangState(State):
    """Adds the counts.

    Attributes:
        problems: the problems one by one.
        prices: of unlike labels, for each edge of each.
        seen: how often each label of each variable was drawn.
        steps: sweeps done.
        ended: the status: a sampler runs on.
    """

    problems: tuple[FlatPairwise, ...]
    prices: tuple[Reals, ...]
    seen: Float[Tensor, "*lead entries"]
    steps: int
    ended: Int[Tensor, "*batch"]


@dataclass(frozen=True, kw_only=True)
class SwendsenWang:
    """Cluster moves. A step redraws every cluster; it never ends by itself.

    Every edge must have one price for equal labels and one, not lower, for unlike ones.

    Attributes:
        temperature: in nats per nat: 1 is p(y) ∝ exp(-E(y)).
        burn_in: sweeps before marginals are counted.
    """

    temperature: Annotated[float, Gt(0)] = 1.0
    burn_in: Annotated[int, Ge(0)] = 100

    def init(
        self, energy: Energy, x0: Shaped[Tensor, "*shape"] | None, rng: torch.Generator
    ) -> SwendsenWangState:
        problem = open_problem(energy)
        problems = flat_rows(problem)
        prices = tuple(potts_prices(flat) for flat in problems)
        x = energy.space.sample(rng) if x0 is None else x0
        labels = problem.labels(x)
        value = problem.evaluate(labels)
        zeros = torch.zeros(
            *labels.shape[:-1], problem.graph.entries, dtype=torch.float64, device=labels.device
        )
        return SwendsenWangState(
            x=x,
            bound=problem.graph.bound().expand(value.shape),
            rng=rng.get_state(),
            problems=problems,
            prices=prices,
            seen=zeros,
            steps=0,
            ended=torch.full(value.shape, int(Status.RUNNING), device=value.device),
        )

    def step(
        self, energy: Energy, state: SwendsenWangState, deadline: Deadline
    ) -> SwendsenWangState:
        problem = open_problem(energy)
        assert state.rng is not None
        generator = generator_from(state.rng, torch.device("cpu"))
        rng = np.random.default_rng(int(torch.randint(_SEEDS, (1,), generator=generator)))
        parts = labels_of(problem, state.x)
        for k, labels in enumerate(parts):
            number = k % len(state.problems)
            flat, prices = state.problems[number], state.prices[number]
            _redraw(
                labels,
                flat.counts,
                flat.offsets,
                flat.costs / self.temperature,
                flat.edges,
                prices / self.temperature,
                rng.random(len(prices)),
                rng.gumbel(size=len(flat.costs)),
            )
        x = configuration_of(problem, parts, state.x)
        state = replace(state, x=x, rng=generator.get_state(), steps=state.steps + 1)
        if state.steps <= self.burn_in:
            return state
        seen = state.seen + problem.graph.one_hot(problem.labels(x), torch.float64)
        marginals = (seen / (state.steps - self.burn_in)).to(problem.graph.constant.dtype)
        return replace(state, seen=seen, beliefs=Beliefs(marginals=marginals))

    def status(self, state: SwendsenWangState) -> Int[Tensor, "*batch"]:
        return state.ended


def potts_prices(flat: FlatPairwise) -> Reals:
    """By how much unlike labels cost more than equal ones, for each edge, in nats.

    Raises:
        ViewError: naming the first edge that is no Potts edge, or attracts unlike labels.
    """
    shapes = flat.counts[flat.edges]
    apart = np.full(len(flat.starts), np.nan)
    for table in np.unique(flat.table_of):
        rows, columns = shapes[np.argmax(flat.table_of == table)]
        start = flat.starts[table]
        values = flat.tables[start : start + rows * columns].reshape(rows, columns)
        if rows == columns and bool(np.isfinite(values).all()):
            apart[table] = _apart(values)
    prices = flat.weights * apart[flat.table_of]
    wrong = ~((prices >= 0) & np.isfinite(prices))
    if bool(wrong.any()):
        edge = int(np.argmax(wrong))
        i, j = (int(each) for each in flat.edges[edge])
        raise ViewError(
            "every edge must have one price for equal labels and one, not lower and finite, for "
            f"unlike ones (Potts), but that between variables {i} and {j} is "
            f"{flat.table(edge).tolist()}; choose solver/gibbs, which takes any factors"
        )
    return prices


def _apart(table: Reals) -> float:
    """How much more unlike labels cost than equal ones; NaN where that is not one number."""
    equal, unlike = table.diagonal(), table[~np.eye(len(table), dtype=bool)]
    slack = _ROUNDING * float(np.abs(table).max())
    if not unlike.size:
        return 0.0
    alike = np.ptp(equal) <= slack and np.ptp(unlike) <= slack
    return float(unlike[0] - equal[0]) if alike else float("nan")
