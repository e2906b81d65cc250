"""`loss/pseudo-likelihood`: how unlikely each variable is, given all others.

Besag: Statistical Analysis of Non-Lattice Data (1975):  -1/N Σ_n Σ_i log p(x_i | x_rest), where
p(x_i | x_rest) ∝ exp(-moves), for factors of any order and any label counts.
"""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from groundstate.energy import Energy, view
from groundstate.factors import FactorGraph
from groundstate.learning import Batch, Needs
from groundstate_mrf.entries import log_softmin, pick


@dataclass(frozen=True, kw_only=True)
class PseudoLikelihood:
    """Mean over the data of the negative log pseudo-likelihood, in nats.

    The batch's `data` are labellings `[n, *event]`; where the model makes one energy for each, its
    batch shape is `[n]`.
    """

    @property
    def needs(self) -> Needs:
        return Needs(views=(FactorGraph,), keys=("data",))

    def __call__(
        self, model: Any, batch: Batch, rng: torch.Generator, /
    ) -> dict[str, Float[Tensor, ""]]:
        energy: Energy = model(batch)
        data = batch["data"]
        energy.space.validate(data)
        graph = view(energy, FactorGraph)
        event = len(energy.space.layout.event_shape)
        labels = data.reshape(*data.shape[: data.dim() - event], len(graph.counts))
        log_chances = pick(graph, log_softmin(graph, graph.moves(labels)), labels)
        return {"pseudo-likelihood": -log_chances.sum(-1).mean()}
