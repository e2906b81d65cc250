"""A discrete energy as separate flat problems, and numbers of each as tensors of the batch."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from groundstate_mrf.flat import FlatPairwise, Whole, flat_problems, join_labels, split_labels
from groundstate_mrf.problem import Problem


def flat_rows(problem: Problem) -> tuple[FlatPairwise, ...]:
    """Every problem of the batch, or of the union.

    Raises:
        ViewError: where a factor has more than two variables.
    """
    return flat_problems(problem.graph, problem.layout.batch_shape)


def labels_of(problem: Problem, x: Shaped[Tensor, "*shape"]) -> list[Whole]:
    """Labels of each sample and problem: number k belongs to problem k modulo their number."""
    return split_labels(problem.graph, problem.labels(x))


def configuration_of(
    problem: Problem, parts: Sequence[Whole], like: Shaped[Tensor, "*shape"]
) -> Shaped[Tensor, "*shape"]:
    """What `labels_of` took apart, in the shape that it had."""
    joined = join_labels(problem.graph, parts, problem.labels(like))
    return problem.configuration(joined)


def per_problem(
    values: Sequence[float | int | bool], like: Float[Tensor, "*batch"], dtype: torch.dtype
) -> Shaped[Tensor, "*batch"]:
    """One number of each problem, for every sample, in the shape of the energies `like`."""
    row = np.asarray(values)
    number = like.numel() if len(row) == 0 else max(like.numel() // len(row), 1)
    repeated = torch.from_numpy(np.tile(row, number)).to(dtype=dtype, device=like.device)
    return repeated.reshape(like.shape)
