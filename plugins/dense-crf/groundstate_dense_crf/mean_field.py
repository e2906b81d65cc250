"""`solver/dense-crf-mean-field`: mean field for fully connected energies, all pixels at once.

Krähenbühl, Koltun (2011), algorithm 1; Gaussian CRF spec §14.1:

    q_i(l) ∝ exp(-u_i(l) - Σ_l' μ(l, l') Σ_m w_m Σ_{j≠i} K^m_ij q_j(l'))

This is a conditional gradient step: the right-hand side q' minimises what F, the mean energy less
entropy, becomes when its quadratic part is replaced by its tangent at q. So F falls from q towards
q', at first; a step of length 1, as published, may go too far, and then q oscillates. A line search
prevents that (Lê-Huu, Alahari: Regularized Frank-Wolfe for Dense CRFs (2021)), and needs no further
filter, for the quadratic part at q + t(q' - q) follows from the messages of q and q'.
"""

from dataclasses import dataclass, replace
from typing import Annotated

import torch
from annotated_types import Ge, Gt, Lt
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor

from groundstate.energy import Energy, view
from groundstate.solver import Beliefs, Deadline, State
from groundstate.status import Status
from groundstate_dense_crf.kernels import DenseKernels

_HALVINGS = 30


@dataclass(frozen=True, kw_only=True)
class DenseMeanFieldState(State):
    """Adds the beliefs with their pixels apart, and their messages.

    Attributes:
        q: probability of each label of each pixel.
        messages: what each label of each pixel costs, facing q, in nats.
        free_energy: F(q), in nats.
        change: largest distance of a belief from what its neighbours ask for, at the start of the
            last step; infinite before.
    """

    q: Float[Tensor, "*lead pixels labels"]
    messages: Float[Tensor, "*lead pixels labels"]
    free_energy: Float[Tensor, "*lead"]
    change: Float[Tensor, "*lead"]


@dataclass(frozen=True, kw_only=True)
class DenseMeanField:
    """Beliefs that are independent, and as near as can be; the labelling is the likeliest.

    Begins at the softmax of the costs, or certain of `x0`. Ten steps are usual. Where parallel
    updates oscillate, it does not call itself converged.

    Attributes:
        damping: share of the old beliefs that each step keeps.
        line_search: whether to halve a step until the free energy does not rise.
        tolerance: largest change of a belief that counts as none.
    """

    damping: Annotated[float, Ge(0), Lt(1)] = 0.0
    line_search: bool = False
    tolerance: Annotated[float, Gt(0)] = 1e-3

    def init(
        self, energy: Energy, x0: Shaped[Tensor, "*shape"] | None, rng: torch.Generator
    ) -> DenseMeanFieldState:
        kernels = view(energy, DenseKernels)
        if x0 is None:
            q = (-kernels.unary).softmax(-1)
        else:
            every = torch.arange(kernels.unary.shape[-1], device=x0.device)
            q = (x0.flatten(-2).unsqueeze(-1) == every).to(kernels.unary.dtype)
        messages = kernels.messages(q)
        free = kernels.free_energy(q, messages)
        return DenseMeanFieldState(
            x=_labelling(energy, q),
            bound=kernels.bound().expand(free.shape),
            beliefs=_beliefs(q, free),
            stats={"filters": ", ".join(each.how for each in kernels.filters)},
            q=q,
            messages=messages,
            free_energy=free,
            change=torch.full_like(free, float("inf")),
        )

    def step(
        self, energy: Energy, state: DenseMeanFieldState, deadline: Deadline
    ) -> DenseMeanFieldState:
        kernels = view(energy, DenseKernels)
        logs = (kernels.unary + state.messages).neg_().log_softmax(-1)
        asked = logs.exp()
        heard = kernels.messages(asked)
        done = self._settled(state)
        share = torch.where(done, 0.0, torch.full_like(state.change, 1 - self.damping))
        if self.line_search:
            share = _search(kernels, state, asked, heard, share)
        q, messages = _between(state, asked, heard, share)
        free = kernels.free_energy(q, messages, logs if q is asked else None)
        change = (asked - state.q).abs_().amax((-2, -1))
        return replace(
            state,
            x=_labelling(energy, q),
            beliefs=_beliefs(q, free),
            q=q,
            messages=messages,
            free_energy=free,
            change=torch.where(done, state.change, change),
        )

    def status(self, state: DenseMeanFieldState) -> Int[Tensor, "*batch"]:
        return torch.where(self._settled(state), int(Status.CONVERGED), int(Status.RUNNING))

    def _settled(self, state: DenseMeanFieldState) -> Bool[Tensor, "*lead"]:
        return state.change <= self.tolerance


def _between(
    state: DenseMeanFieldState, asked: Tensor, heard: Tensor, share: Float[Tensor, "*lead"]
) -> tuple[Float[Tensor, "*lead pixels labels"], Float[Tensor, "*lead pixels labels"]]:
    """Beliefs that far on the way to what was asked for, and their messages.

    At a share of 0 or 1 they are one end or the other, bit by bit.
    """
    spread = share[..., None, None]
    if bool((share == 1).all()):
        return asked, heard
    q = torch.where(spread == 1, asked, state.q + spread * (asked - state.q))
    messages = state.messages + spread * (heard - state.messages)
    return q, torch.where(spread == 1, heard, messages)


def _search(
    kernels: DenseKernels,
    state: DenseMeanFieldState,
    asked: Tensor,
    heard: Tensor,
    share: Float[Tensor, "*lead"],
) -> Float[Tensor, "*lead"]:
    """Each problem's share, halved until its free energy does not rise, up to rounding."""
    epsilon = torch.finfo(share.dtype).eps
    labels = asked.shape[-1]
    size = (state.q * kernels.unary).abs().sum((-2, -1)) + asked[..., 0].numel() * labels**0.5
    allowed = state.free_energy + epsilon * size
    for _ in range(_HALVINGS):
        too_far = kernels.free_energy(*_between(state, asked, heard, share)) > allowed
        if not bool(too_far.any()):
            break
        share = torch.where(too_far, 0.5 * share, share)
    return share


def _labelling(energy: Energy, q: Float[Tensor, "*lead pixels labels"]) -> Int[Tensor, "*shape"]:
    """The likeliest label of each pixel; the first one on ties."""
    labels = q.argmax(-1)
    return labels.reshape(*labels.shape[:-1], *energy.space.layout.event_shape)


def _beliefs(q: Float[Tensor, "*lead pixels labels"], free: Float[Tensor, "*lead"]) -> Beliefs:
    return Beliefs(marginals=q.flatten(-2), log_partition=-free, lower=-free)
