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
def _first(digits: Array) -> None:
    for place in range(digits.shape[0]):
        digits[place] = 0


@njit(cache=True, nogil=True)
@typing.no_type_check
def _next(digits: Array, variables: Array, counts: Array) -> None:
    """The next joint labelling, the last variable fastest."""
    for place in range(variables.shape[0] - 1, -1, -1):
        digits[place] += 1
        if digits[place] < counts[variables[place]]:
            return
        digits[place] = 0


@njit(cache=True, nogil=True)
@typing.no_type_check
def _cost(
    digits: Array, variables: Array, offsets: Array, beliefs: Array, up: int, cell: float
) -> float:
    """A cell's energy with what comes from below."""
    for place in range(variables.shape[0]):
        if place != up:
            cell += beliefs[offsets[variables[place]] + digits[place]]
    return cell


@njit(cache=True, nogil=True)
@typing.no_type_check
def _give(
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
    room = np.empty(counts.max() if counts.shape[0] else 1, np.float64)
    digits_of = np.zeros(64, np.int64)
    for index in range(order.shape[0] - 1, -1, -1):
        factor = order[index]
        variables = members[start[factor] : start[factor + 1]]
        digits = digits_of[: variables.shape[0]]
        place = up[factor]
        message = room[: counts[variables[place]]]
        message[:] = np.inf
        _first(digits)
        for cell in range(cells_at[factor], cells_at[factor + 1]):
            cost = _cost(digits, variables, offsets, beliefs, place, cells[cell])
            if cost < message[digits[place]]:
                message[digits[place]] = cost
            _next(digits, variables, counts)
        _give(message, variables[place], offsets, problem, beliefs, totals)


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
    for variable in range(counts.shape[0]):
        if above[variable] < 0:
            own = beliefs[offsets[variable] : offsets[variable] + counts[variable]]
            labels[variable] = own.argmin()
    digits_of = np.zeros(64, np.int64)
    for factor in order:
        variables = members[start[factor] : start[factor + 1]]
        digits = digits_of[: variables.shape[0]]
        place = up[factor]
        given = labels[variables[place]]
        least = np.inf
        chosen = -1
        _first(digits)
        for cell in range(cells_at[factor], cells_at[factor + 1]):
            if digits[place] == given:
                cost = _cost(digits, variables, offsets, beliefs, place, cells[cell])
                if chosen < 0 or cost < least:
                    chosen, least = cell - cells_at[factor], cost
            _next(digits, variables, counts)
        for other in range(variables.shape[0] - 1, -1, -1):
            width = counts[variables[other]]
            if other != place:
                labels[variables[other]] = chosen % width
            chosen //= width


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
    room = np.empty(counts.max() if counts.shape[0] else 1, np.float64)
    digits_of = np.zeros(64, np.int64)
    for index in range(order.shape[0] - 1, -1, -1):
        factor = order[index]
        variables = members[start[factor] : start[factor + 1]]
        digits = digits_of[: variables.shape[0]]
        place = up[factor]
        width = counts[variables[place]]
        low = messages[messages_at[factor] : messages_at[factor] + width]
        low[:] = np.inf
        _first(digits)
        for cell in range(cells_at[factor], cells_at[factor + 1]):
            cost = _cost(digits, variables, offsets, beliefs, place, cells[cell])
            if cost < low[digits[place]]:
                low[digits[place]] = cost
            _next(digits, variables, counts)
        weight = room[:width]
        weight[:] = 0.0
        _first(digits)
        for cell in range(cells_at[factor], cells_at[factor + 1]):
            cost = _cost(digits, variables, offsets, beliefs, place, cells[cell])
            if cost < np.inf:
                weight[digits[place]] += np.exp(low[digits[place]] - cost)
            _next(digits, variables, counts)
        for label in range(width):
            if low[label] < np.inf:
                low[label] -= np.log(weight[label])
        _give(low, variables[place], offsets, problem, beliefs, totals)


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
    """Marginals from the roots on, by the chances of what is below given its parent.

    `chances` has the marginals of the roots, and 0 elsewhere.
    """
    digits_of = np.zeros(64, np.int64)
    for factor in order:
        variables = members[start[factor] : start[factor + 1]]
        digits = digits_of[: variables.shape[0]]
        place = up[factor]
        parent = offsets[variables[place]]
        _first(digits)
        for cell in range(cells_at[factor], cells_at[factor + 1]):
            chance = chances[parent + digits[place]]
            if chance > 0:
                cost = _cost(digits, variables, offsets, beliefs, place, cells[cell])
                chance *= np.exp(messages[messages_at[factor] + digits[place]] - cost)
                for other in range(variables.shape[0]):
                    if other != place:
                        chances[offsets[variables[other]] + digits[other]] += chance
            _next(digits, variables, counts)
        for other in range(variables.shape[0]):
            if other != place:
                first = offsets[variables[other]]
                own = chances[first : first + counts[variables[other]]]
                # what rounding loses at each level would add up along a chain of a million
                total = own.sum()
                if total > 0:
                    own /= total
