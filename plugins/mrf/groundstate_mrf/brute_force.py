"""`solver/brute-force`: every labelling, in chunks; the oracle for everything else."""

from dataclasses import dataclass, replace
from typing import Annotated

import torch
from annotated_types import Ge
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from groundstate.energy import Energy
from groundstate.errors import InputError, ViewError
from groundstate.solver import Beliefs, Deadline, State
from groundstate.space import Discrete
from groundstate.status import Status
from groundstate_mrf.typed import whole

_CELLS = 1 << 21


@dataclass(frozen=True, kw_only=True)
class BruteForceState(State):
    """Adds how far the enumeration is, and what it gathered.

    Attributes:
        position: labellings done.
        size: labellings in all, of the largest problem.
        found: lowest energy so far.
        log_weight: log Σ exp(-E) so far, at each entry: the labellings that have that label.
    """

    position: int
    size: int
    found: Float[Tensor, "*batch"]
    log_weight: Float[Tensor, "..."] | None


@dataclass(frozen=True, kw_only=True)
class BruteForce:
    """Looks at every labelling of a small problem, of any discrete energy.

    Attributes:
        limit: the most labellings to look at; larger problems are refused.
        marginals: whether to gather exact marginals and log Z, too.
    """

    limit: Annotated[int, Ge(1)] = 1 << 24
    marginals: bool = False

    def init(
        self, energy: Energy, x0: Shaped[Tensor, "*shape"] | None, rng: torch.Generator
    ) -> BruteForceState:
        space = _discrete(energy)
        most = float(_sizes(space).max())
        if most > self.limit:
            raise InputError(
                f"brute force looks at no more than {self.limit} labellings (`limit`), but this "
                f"problem has {_amount(space, most)}; raise `limit` or choose another solver"
            )
        size = int(most)
        x = space.sample(rng) * 0 if x0 is None else x0.clone()
        found = energy(x)
        weight = None
        if self.marginals:
            shape = (*x.shape[: x.dim() - space.counts.dim()], int(space.counts.sum()))
            weight = torch.full(shape, float("-inf"), dtype=torch.float64, device=x.device)
        return BruteForceState(x=x, position=0, size=size, found=found, log_weight=weight)

    def step(self, energy: Energy, state: BruteForceState, deadline: Deadline) -> BruteForceState:
        space = _discrete(energy)
        cells = max(1, state.x.numel(), int(space.counts.sum()))
        chunk = max(1, _CELLS // cells)
        while state.position < state.size:
            state = self._look(energy, space, state, min(state.size, state.position + chunk))
            if deadline.passed:
                break
        if state.position < state.size:
            return state
        beliefs = _beliefs(space, state.log_weight) if state.log_weight is not None else None
        return replace(state, bound=state.found, energy=state.found, beliefs=beliefs)

    def status(self, state: BruteForceState) -> Int[Tensor, "*batch"]:
        if state.position < state.size:
            return torch.full_like(state.found, int(Status.RUNNING), dtype=torch.int64)
        nothing = state.found == float("inf")
        return torch.where(nothing, int(Status.INFEASIBLE), int(Status.OPTIMAL))

    def _look(
        self, energy: Energy, space: Discrete, state: BruteForceState, end: int
    ) -> BruteForceState:
        """The state after the labellings up to `end`."""
        layout = space.layout
        number = torch.arange(state.position, end, device=space.device)
        labels = _labelling(space, number)
        lead = state.x.shape[: state.x.dim() - labels.dim() + 1]
        shape = (len(number), *lead, *labels.shape[1:])
        each = labels.reshape(len(number), *[1] * len(lead), *labels.shape[1:]).expand(shape)
        values = energy(each)
        lowest, where = values.min(0)
        better = lowest < state.found
        chosen = layout.expand(where)
        chosen = each.gather(0, chosen.expand(state.x.shape).unsqueeze(0)).squeeze(0)
        weight = state.log_weight
        if weight is not None:
            # where problems lie end to end, the smaller ones come round again: count each once
            new = (number.unsqueeze(-1) < _sizes(space)) if space.segments is not None else None
            weight = torch.logaddexp(weight, _weights(space, each, values, new))
        return replace(
            state,
            x=torch.where(layout.expand(better), chosen, state.x),
            found=torch.where(better, lowest, state.found),
            position=end,
            log_weight=weight,
        )


def _discrete(energy: Energy) -> Discrete:
    if isinstance(energy.space, Discrete):
        return energy.space
    raise ViewError(
        f"brute force needs a discrete energy, but the space of {type(energy).__name__} is real; "
        "adapt it with adapter/discretise"
    )


def _sizes(space: Discrete) -> Float[Tensor, " problems"]:
    """How many labellings each problem has; float64, since it may be astronomic."""
    logs = space.counts.flatten().to(torch.float64).log()
    segments = space.segments
    if segments is None:
        return logs.sum().exp().round().reshape(1)
    return logs.new_zeros(space.batch_shape).index_add(0, segments, logs).exp().round()


def _amount(space: Discrete, most: float) -> str:
    """How many labellings the largest problem has, in words, for a float may not hold it."""
    if most < float("inf"):
        return f"{most:.4g}"
    logs = space.counts.flatten().to(torch.float64).log10()
    return f"some 10^{float(space.layout.sum(logs.reshape(space.counts.shape)).max()):.0f}"


def _labelling(space: Discrete, number: Int[Tensor, " chunk"]) -> Int[Tensor, "chunk *event"]:
    """Labellings by number, the last variable fastest; each problem counts for itself."""
    counts = whole(space.counts.flatten())
    segments = [0] * len(counts) if space.segments is None else whole(space.segments)
    rest = number
    columns: list[Tensor] = []
    previous = None
    for count, segment in zip(reversed(counts), reversed(segments), strict=True):
        rest = number if segment != previous else rest
        columns.append(rest % count)
        rest, previous = rest // count, segment
    if not columns:
        return number.new_zeros((len(number), *space.counts.shape))
    return torch.stack(columns[::-1], -1).reshape(len(number), *space.counts.shape)


def _weights(
    space: Discrete,
    labels: Int[Tensor, "chunk *shape"],
    values: Float[Tensor, "chunk *problems"],
    counted: Shaped[Tensor, "..."] | None,
) -> Float[Tensor, "..."]:
    """Log Σ exp(-E) of these labellings, at each entry."""
    counts = space.counts.flatten()
    variable = torch.arange(len(counts), device=counts.device).repeat_interleave(counts)
    label = torch.arange(len(variable), device=counts.device)
    label = label - (counts.cumsum(0) - counts)[variable]
    log_weight = -values.to(torch.float64)
    if counted is not None:
        shape = (len(values), *[1] * (values.dim() - 2), -1)
        log_weight = torch.where(counted.reshape(shape), log_weight, float("-inf"))
        log_weight = log_weight[..., space.segments[variable]]  # pyright: ignore
    else:
        log_weight = log_weight.unsqueeze(-1)
    flat = labels.flatten(labels.dim() - space.counts.dim())
    return torch.where(flat[..., variable] == label, log_weight, float("-inf")).logsumexp(0)


def _beliefs(space: Discrete, log_weight: Float[Tensor, "*batch entries"]) -> Beliefs:
    """Exact marginals; log Z is the sum over the entries of any one variable."""
    counts = space.counts.flatten()
    variable = torch.arange(len(counts), device=counts.device).repeat_interleave(counts)
    highest = log_weight.amax(-1, keepdim=True).clamp(min=-1e300)
    parts = (log_weight - highest).exp()
    sums = parts.new_zeros((*parts.shape[:-1], len(counts))).index_add(-1, variable, parts)
    logs = sums.log() + highest
    if space.segments is None:
        total = logs[..., 0]
    else:
        problems = torch.arange(space.batch_shape[0], device=space.device)
        first = torch.searchsorted(space.segments, problems)
        total = logs[..., first]
    marginals = parts / sums[..., variable]
    return Beliefs(marginals=marginals, log_partition=total, lower=total, upper=total)
