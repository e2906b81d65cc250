"""The view `DenseKernels`: what a fully connected energy is made of.

E(y) = Σ_i u_i(y_i) + Σ_{i<j} μ(y_i, y_j) Σ_m w_m K^m_ij (Krähenbühl, Koltun: Efficient Inference in
Fully Connected CRFs with Gaussian Edge Potentials (2011), equations 1-3).
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from groundstate_dense_crf.filters import Filter


@dataclass(frozen=True, kw_only=True)
class DenseKernels:
    """Unary costs, one symmetric compatibility of labels, and filters that couple all pixels.

    Attributes:
        unary: u, in nats.
        compatibility: μ, symmetric.
        filters: K^m, without diagonal.
        weights: w_m, in nats; one for all problems, or one for each.
    """

    unary: Float[Tensor, "*batch pixels labels"]
    compatibility: Float[Tensor, "labels labels"]
    filters: tuple[Filter, ...]
    weights: Float[Tensor, "*weights filters"]

    def filtered(self, values: Float[Tensor, "*lead pixels c"]) -> Float[Tensor, "*lead pixels c"]:
        """Σ_m w_m K^m times each channel; lead is `[*sample, *batch]`."""
        total = None
        for each, weight in zip(self.filters, self.weights.unbind(-1), strict=True):
            # a single number stays without dimensions: to spread it out is slow
            factor = weight[..., None, None] if weight.dim() else weight
            heard = factor * each.apply(values)
            total = heard if total is None else total.add_(heard)
        return torch.zeros_like(values) if total is None else total

    def messages(
        self, beliefs: Float[Tensor, "*lead pixels labels"]
    ) -> Float[Tensor, "*lead pixels labels"]:
        """What each label of each pixel costs on average, facing all others' beliefs, in nats."""
        return self.filtered(beliefs) @ self.compatibility

    def energy(self, labels: Int[Tensor, "*lead pixels"]) -> Float[Tensor, "*lead"]:
        """Energy of each labelling, in nats."""
        index = labels.unsqueeze(-1)
        costs = self.unary.expand(*labels.shape, -1).gather(-1, index)
        every = torch.arange(self.unary.shape[-1], device=labels.device)
        prices = self.messages((index == every).to(self.unary.dtype)).gather(-1, index)
        # each pair was met from both sides
        return (costs + 0.5 * prices).sum((-2, -1))

    def free_energy(
        self,
        beliefs: Float[Tensor, "*lead pixels labels"],
        messages: Float[Tensor, "*lead pixels labels"],
        logs: Float[Tensor, "*lead pixels labels"] | None = None,
    ) -> Float[Tensor, "*lead"]:
        """F(q) = mean energy - entropy, in nats; log Z ≥ -F(q) for all q.

        Args:
            beliefs: q.
            messages: of q.
            logs: log q where it is at hand and finite.
        """
        prices = torch.add(self.unary, messages, alpha=0.5)
        if logs is not None:
            return prices.add_(logs).mul(beliefs).sum((-2, -1))
        return prices.mul(beliefs).add_(torch.xlogy(beliefs, beliefs)).sum((-2, -1))

    def bound(self) -> Float[Tensor, "*batch"]:
        """The sum of all independent minima: no labelling has a lower energy.

        The kernels are above 0, so a weight above 0 pays at least the lowest price of each pair.
        """
        ones = torch.ones_like(self.unary[..., :1])
        total = self.unary.amin(-1).sum(-1)
        low, high = self.compatibility.min(), self.compatibility.max()
        for each, weight in zip(self.filters, self.weights.unbind(-1), strict=True):
            pairs = 0.5 * each.apply(ones).sum((-2, -1))
            total = total + pairs * torch.minimum(weight * low, weight * high)
        return total
