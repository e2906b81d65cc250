"""Dynamic programming on a forest of factors in compiled code, for one problem.

Variables and factors of any order hang from roots; `order` lists the factors from the roots on, and
`up` says which place of a factor is its parent's. Every function is one pass over the factors.
"""

import typing
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

Array = NDArray[Any]


@njit(cache=True, nogil=True)
@typing.no_type_check
def hang(
    start: Array,
    members: Array,
    begin: Array,
    factors: Array,
    above: Array,
    order: Array,
    up: Array,
) -> tuple[int, int, int]:
    """Breadth first from a root of each component; -1s, or two variables of a factor on a cycle.

    Args:
        start: where each factor's variables begin.
        members: the variables of the factors, one after another.
        begin: where each variable's factors begin.
        factors: the factors of the variables, one after another.
        above: to be filled: the variable above each; -1 for roots. All -2 before.
        order: to be filled with the factors from the roots on.
        up: to be filled: the place of each factor's parent.
    """
    variables = above.shape[0]
    queue = np.empty(variables, np.int64)
    used = np.zeros(up.shape[0], np.bool_)
    found = 0
    for root in range(variables):
        if above[root] != -2:
            continue
        above[root] = -1
        head, tail = 0, 1
        queue[0] = root
        while head < tail:
            here = queue[head]
            head += 1
            for position in range(begin[here], begin[here + 1]):
                factor = factors[position]
                if used[factor]:
                    continue
                used[factor] = True
                order[found] = factor
                found += 1
                for place in range(start[factor], start[factor + 1]):
                    other = members[place]
                    if other == here:
                        up[factor] = place - start[factor]
                    elif above[other] != -2:
                        return factor, here, other
                    else:
                        above[other] = here
                        queue[tail] = other
                        tail += 1
    return -1, -1, -1


@njit(cache=True, nogil=True)
@typing.no_type_check
def inner_of(variables: Array, counts: Array, place: int) -> int:
    """How many joint labels the places after this one have."""
    inner = 1
    for other in range(place + 1, variables.shape[0]):
        inner *= counts[variables[other]]
    return inner


@njit(cache=True, nogil=True)
@typing.no_type_check
def load(
    variables: Array, counts: Array, offsets: Array, beliefs: Array, up: int, costs: Array
) -> None:
    """Add to a factor's energies what comes from below all its variables but its parent's."""
    for place in range(variables.shape[0]):
        if place == up:
            continue
        width, first = counts[variables[place]], offsets[variables[place]]
        inner = inner_of(variables, counts, place)
        position = 0
        for _ in range(costs.shape[0] // (width * inner)):
            for label in range(width):
                belief = beliefs[first + label]
                for _ in range(inner):
                    costs[position] += belief
                    position += 1


@njit(cache=True, nogil=True)
@typing.no_type_check
def lowest(costs: Array, width: int, inner: int, message: Array) -> None:
    """The least cost with each label of one place."""
    message[:] = np.inf
    position = 0
    for _ in range(costs.shape[0] // (width * inner)):
        for label in range(width):
            least = message[label]
            for _ in range(inner):
                least = min(least, costs[position])
                position += 1
            message[label] = least


@njit(cache=True, nogil=True)
@typing.no_type_check
def give(
    message: Array, parent: int, offsets: Array, problem: Array, beliefs: Array, totals: Array
) -> None:
    """Add a message to its parent's beliefs; its minimum goes to the problem's total."""
    low = message.min()
    if low == np.inf:
        low = 0.0
    totals[problem[parent]] += low
    for label in range(message.shape[0]):
        beliefs[offsets[parent] + label] += message[label] - low


@njit(cache=True, nogil=True)
@typing.no_type_check
def room_for(cells_at: Array, counts: Array) -> tuple[Array, Array]:
    """Scratch space for the largest factor's costs, and for a message."""
    largest = 1
    for factor in range(cells_at.shape[0] - 1):
        largest = max(largest, cells_at[factor + 1] - cells_at[factor])
    widest = 1
    for count in counts:
        widest = max(widest, count)
    return np.empty(largest, np.float64), np.empty(widest, np.float64)


@njit(cache=True, nogil=True)
@typing.no_type_check
def gather_lowest(
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
) -> None:
    """Minima towards the roots: `beliefs` gets the least energy below each label."""
    room, messages = room_for(cells_at, counts)
    for index in range(order.shape[0] - 1, -1, -1):
        factor = order[index]
        variables = members[start[factor] : start[factor + 1]]
        costs = room[: cells_at[factor + 1] - cells_at[factor]]
        costs[:] = cells[cells_at[factor] : cells_at[factor + 1]]
        load(variables, counts, offsets, beliefs, up[factor], costs)
        parent = variables[up[factor]]
        message = messages[: counts[parent]]
        lowest(costs, counts[parent], inner_of(variables, counts, up[factor]), message)
        give(message, parent, offsets, problem, beliefs, totals)


@njit(cache=True, nogil=True)
@typing.no_type_check
def best_labels(
    counts: Array,
    offsets: Array,
    start: Array,
    members: Array,
    cells_at: Array,
    cells: Array,
    order: Array,
    up: Array,
    above: Array,
    beliefs: Array,
    labels: Array,
) -> None:
    """Labels from the roots on, each the best given its parent's: exact, ties or not."""
    room, _ = room_for(cells_at, counts)
    for variable in range(counts.shape[0]):
        if above[variable] < 0:
            own = beliefs[offsets[variable] : offsets[variable] + counts[variable]]
            labels[variable] = own.argmin()
    for factor in order:
        variables = members[start[factor] : start[factor + 1]]
        costs = room[: cells_at[factor + 1] - cells_at[factor]]
        costs[:] = cells[cells_at[factor] : cells_at[factor + 1]]
        load(variables, counts, offsets, beliefs, up[factor], costs)
        parent = variables[up[factor]]
        inner = inner_of(variables, counts, up[factor])
        chosen = labels[parent] * inner
        least = costs[chosen]
        for before in range(costs.shape[0] // (counts[parent] * inner)):
            first = (before * counts[parent] + labels[parent]) * inner
            for position in range(first, first + inner):
                if costs[position] < least:
                    chosen, least = position, costs[position]
        for place in range(variables.shape[0] - 1, -1, -1):
            width = counts[variables[place]]
            if place != up[factor]:
                labels[variables[place]] = chosen % width
            chosen //= width
