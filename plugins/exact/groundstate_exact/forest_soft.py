"""Log Z and marginals on a forest of factors in compiled code, for one problem.

Soft minima go to the roots; marginals come back by the chances of what is below a factor given its
parent's label, so nothing is divided by a message.
"""

import typing
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from groundstate_exact import forest_kernel

Array = NDArray[Any]


@njit(cache=True, nogil=True)
@typing.no_type_check
def _soften(costs: Array, width: int, inner: int, message: Array, weights: Array) -> None:
    """From the least costs with each label to -log Σ exp(-·)."""
    weights[:] = 0.0
    position = 0
    for _ in range(costs.shape[0] // (width * inner)):
        for label in range(width):
            for _ in range(inner):
                if costs[position] < np.inf:
                    weights[label] += np.exp(message[label] - costs[position])
                position += 1
    for label in range(width):
        if message[label] < np.inf:
            message[label] -= np.log(weights[label])


@njit(cache=True, nogil=True)
@typing.no_type_check
def gather_soft(
    counts: Array,
    offsets: Array,
    problem: Array,
    start: Array,
    members: Array,
    cells_at: Array,
    cells: Array,
    order: Array,
    up: Array,
    beliefs: Array,
    totals: Array,
    messages_at: Array,
    messages: Array,
) -> None:
    """Soft minima -log Σ exp(-·) towards the roots; `messages` keeps them."""
    room, weights = forest_kernel.room_for(cells_at, counts)
    for index in range(order.shape[0] - 1, -1, -1):
        factor = order[index]
        variables = members[start[factor] : start[factor + 1]]
        costs = room[: cells_at[factor + 1] - cells_at[factor]]
        costs[:] = cells[cells_at[factor] : cells_at[factor + 1]]
        forest_kernel.load(variables, counts, offsets, beliefs, up[factor], costs)
        parent = variables[up[factor]]
        width, inner = counts[parent], forest_kernel.inner_of(variables, counts, up[factor])
        message = messages[messages_at[factor] : messages_at[factor] + width]
        forest_kernel.lowest(costs, width, inner, message)
        _soften(costs, width, inner, message, weights[:width])
        forest_kernel.give(message, parent, offsets, problem, beliefs, totals)


@njit(cache=True, nogil=True)
@typing.no_type_check
def _chances(
    costs: Array, width: int, inner: int, message: Array, chances: Array, first: int
) -> None:
    """From costs to probabilities, given those of one place's labels."""
    position = 0
    for _ in range(costs.shape[0] // (width * inner)):
        for label in range(width):
            chance = chances[first + label]
            for _ in range(inner):
                if chance > 0:
                    costs[position] = chance * np.exp(message[label] - costs[position])
                else:
                    costs[position] = 0.0
                position += 1


@njit(cache=True, nogil=True)
@typing.no_type_check
def spread_chances(
    counts: Array,
    offsets: Array,
    start: Array,
    members: Array,
    cells_at: Array,
    cells: Array,
    order: Array,
    up: Array,
    beliefs: Array,
    messages_at: Array,
    messages: Array,
    chances: Array,
) -> None:
    """Marginals from the roots on; `chances` has those of the roots, and 0 elsewhere."""
    room, _ = forest_kernel.room_for(cells_at, counts)
    for factor in order:
        variables = members[start[factor] : start[factor + 1]]
        costs = room[: cells_at[factor + 1] - cells_at[factor]]
        costs[:] = cells[cells_at[factor] : cells_at[factor + 1]]
        forest_kernel.load(variables, counts, offsets, beliefs, up[factor], costs)
        parent = variables[up[factor]]
        width, inner = counts[parent], forest_kernel.inner_of(variables, counts, up[factor])
        message = messages[messages_at[factor] : messages_at[factor] + width]
        _chances(costs, width, inner, message, chances, offsets[parent])
        for place in range(variables.shape[0]):
            if place == up[factor]:
                continue
            first, width = offsets[variables[place]], counts[variables[place]]
            inner = forest_kernel.inner_of(variables, counts, place)
            position = 0
            for _ in range(costs.shape[0] // (width * inner)):
                for label in range(width):
                    for _ in range(inner):
                        chances[first + label] += costs[position]
                        position += 1
            own = chances[first : first + width]
            # what rounding loses at each level would add up along a chain of a million
            total = own.sum()
            if total > 0:
                own /= total
