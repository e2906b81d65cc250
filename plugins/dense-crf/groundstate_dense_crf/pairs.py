"""A fully connected energy as the factor graph of all its pairs, where they are few."""

import torch
from jaxtyping import Bool
from torch import Tensor

from groundstate.factors import FactorGraph, FactorGroup
from groundstate_dense_crf.kernels import DenseKernels
from groundstate_mrf.groups.potts import PottsGroup
from groundstate_mrf.groups.tables import TableGroup

LIMIT = 1 << 18
"""The most numbers that all pairs together may take."""


def few_pairs(kernels: DenseKernels) -> bool:
    """Whether the graph of all pairs is small enough to be made."""
    *_, pixels, labels = kernels.unary.shape
    pairs = pixels * (pixels - 1) // 2
    return pairs <= LIMIT and (pairs * labels**2 <= LIMIT or bool(_is_potts(kernels)))


def pair_graph(kernels: DenseKernels) -> FactorGraph:
    """Every pair as a factor of its own: Potts where μ is 1 for unequal labels, else a table."""
    unary = kernels.unary
    *batch, pixels, labels = unary.shape
    device = unary.device
    total = pixels * labels
    eye = torch.eye(pixels, dtype=unary.dtype, device=device).expand(*batch, pixels, pixels)
    matrix = kernels.filtered(eye)
    edges = torch.triu_indices(pixels, pixels, offset=1, device=device)
    weights = matrix[..., edges[0], edges[1]]
    scope = edges.T.contiguous()
    pairs: FactorGroup
    if bool(_is_potts(kernels)):
        pairs = PottsGroup(
            edges=scope, first=scope * labels, weights=weights, labels=labels, total=total
        )
    else:
        tables = weights[..., None, None] * kernels.compatibility
        pairs = TableGroup(scope=scope, first=scope * labels, tables=tables, total=total)
    alone = torch.arange(pixels, device=device).unsqueeze(-1)
    single = TableGroup(scope=alone, first=alone * labels, tables=unary, total=total)
    return FactorGraph(
        counts=torch.full((pixels,), labels, device=device),
        groups=(single, pairs),
        constant=unary.new_zeros(batch),
    )


def _is_potts(kernels: DenseKernels) -> Bool[Tensor, ""]:
    eye = torch.eye(kernels.unary.shape[-1], device=kernels.unary.device)
    learned = kernels.compatibility.requires_grad
    return (kernels.compatibility == 1 - eye).all() & (not learned)
