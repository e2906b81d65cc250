"""The permutohedral lattice in compiled code: build it over points, blur values on it.

Adams, Baek, Davis: Fast High-Dimensional Filtering Using the Permutohedral Lattice (2010), sections
3 and 4. Points in d dimensions are embedded in the hyperplane Σx = 0 of d + 1 dimensions, which the
lattice cuts into simplices; each point has weights on the d + 1 corners of its own (splat), the
corners are blurred by (1/2, 1, 1/2) along each of the d + 1 directions of the lattice, and points
read the result with the same weights (slice). Only vertices next to points are stored.
"""

import typing
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

Array = NDArray[Any]
_ORDER_FREE = {"reassoc", "contract", "nsz"}
"""Sums may be vectorised; NaN and infinity keep their meaning."""


@njit(cache=True, nogil=True)
@typing.no_type_check
def _enclose(point: Array, scale: Array, elevated: Array, corner: Array, rank: Array) -> None:
    """The simplex of a point: its remainder-0 corner, and the ranks that order the others."""
    d = point.shape[0]
    total = 0.0
    for j in range(d, 0, -1):
        value = point[j - 1] * scale[j - 1]
        elevated[j] = total - j * value
        total += value
    elevated[0] = total
    excess = 0
    for i in range(d + 1):
        rounded = int(np.floor(elevated[i] / (d + 1) + 0.5))
        corner[i] = rounded * (d + 1)
        excess += rounded
        rank[i] = 0
    for i in range(d):
        here = elevated[i] - corner[i]
        for j in range(i + 1, d + 1):
            if here < elevated[j] - corner[j]:
                rank[i] += 1
            else:
                rank[j] += 1
    for i in range(d + 1):
        rank[i] += excess
        if rank[i] < 0:
            rank[i] += d + 1
            corner[i] += d + 1
        elif rank[i] > d:
            rank[i] -= d + 1
            corner[i] -= d + 1


@njit(cache=True, nogil=True)
@typing.no_type_check
def _find(keys: Array, table: Array, key: Array) -> tuple[int, int]:
    """The vertex with that key, or -1, and its place in the table (linear probing)."""
    code = 0
    for each in key:
        code = (code + each) * 0x9E3779B1  # wraps around, which is all a hash wants
    place = (code ^ (code >> 17)) & (table.shape[0] - 1)
    while table[place] >= 0:
        vertex = table[place]
        same = True
        for i in range(key.shape[0]):
            if keys[vertex, i] != key[i]:
                same = False
                break
        if same:
            return vertex, place
        place = (place + 1) & (table.shape[0] - 1)
    return -1, place


@njit(cache=True, nogil=True)
@typing.no_type_check
def _doubled(keys: Array, count: int) -> tuple[Array, Array]:
    """Room for twice as many vertices, and their table."""
    more = np.empty((2 * keys.shape[0], keys.shape[1]), dtype=keys.dtype)
    more[:count] = keys[:count]
    table = np.full(4 * keys.shape[0], -1, dtype=np.int32)
    for vertex in range(count):
        _, place = _find(more, table, more[vertex])
        table[place] = vertex
    return more, table


@njit(cache=True, nogil=True)
@typing.no_type_check
def build(points: Array, scale: Array) -> tuple[Array, Array, Array, Array]:
    """The lattice over points, `[points, d]`.

    Returns:
        Vertex and weight of each point's corners, `[points, d + 1]`; the neighbours of each vertex
        on both sides in each direction, `[d + 1, vertices, 2]`, where the number of vertices stands
        for none; and the rank of each coordinate of each point, `[points, d + 1]`.
    """
    count, d = points.shape
    corners = np.empty((count, d + 1), dtype=np.int32)
    weights = np.empty((count, d + 1), dtype=np.float64)
    ranks = np.empty((count, d + 1), dtype=np.int8)
    keys = np.empty((1 << 12, d), dtype=np.int32)
    table = np.full(1 << 13, -1, dtype=np.int32)
    vertices = 0
    elevated = np.empty(d + 1)
    corner, rank = np.empty(d + 1, dtype=np.int64), np.empty(d + 1, dtype=np.int64)
    share, key = np.empty(d + 2), np.empty(d, dtype=np.int32)
    for point in range(count):
        _enclose(points[point], scale, elevated, corner, rank)
        share[:] = 0.0
        for i in range(d + 1):
            part = (elevated[i] - corner[i]) / (d + 1)
            share[d - rank[i]] += part
            share[d - rank[i] + 1] -= part
            ranks[point, i] = rank[i]
        share[0] += 1.0 + share[d + 1]
        for remainder in range(d + 1):
            for i in range(d):
                below = rank[i] <= d - remainder
                key[i] = corner[i] + remainder - (0 if below else d + 1)
            vertex, place = _find(keys, table, key)
            if vertex < 0:
                if vertices == keys.shape[0]:
                    keys, table = _doubled(keys, vertices)
                    _, place = _find(keys, table, key)
                vertex = vertices
                keys[vertex] = key
                table[place] = vertex
                vertices += 1
            corners[point, remainder] = vertex
            weights[point, remainder] = share[remainder]
    neighbours = np.empty((d + 1, vertices, 2), dtype=np.int32)
    for direction in range(d + 1):
        for vertex in range(vertices):
            for side in range(2):
                sign = 1 - 2 * side
                for i in range(d):
                    key[i] = keys[vertex, i] - sign
                if direction < d:
                    key[direction] += sign * (d + 1)
                found, _ = _find(keys, table, key)
                neighbours[direction, vertex, side] = found if found >= 0 else vertices
    return corners, weights, neighbours, ranks


@njit(cache=True, nogil=True)
@typing.no_type_check
def _way(
    neighbours: Array, vertex: int, rank: Array, low: int, high: int, within: bool, side: int
) -> float:
    """What a blur carries from a vertex along the directions with ranks in (low, high], or others.

    Directions are taken in the order of the blur, so a vertex that is missing on the way cuts it.
    """
    weight = 1.0
    for direction in range(rank.shape[0]):
        if (low < rank[direction] <= high) == within:
            vertex = neighbours[direction, vertex, side]
            if vertex == neighbours.shape[1]:
                return 0.0
            weight *= 0.5
    return weight


@njit(cache=True, nogil=True)
@typing.no_type_check
def own_shares(corners: Array, weights: Array, neighbours: Array, ranks: Array) -> Array:
    """What each point gets of its own value: the diagonal of splat, blur and slice.

    Corner k of a simplex is corner 0 and one step back in each of the k directions of the highest
    ranks, and a step in every direction leads nowhere. So a blur has two ways between two corners,
    along the directions between them or the other way along all others, and three to itself.
    """
    count, size = corners.shape
    d = size - 1
    result = np.empty(count)
    for point in range(count):
        rank = ranks[point]
        total = 0.0
        for k in range(size):
            start = corners[point, k]
            kept = 1.0 + _way(neighbours, start, rank, -1, d, True, 0)
            kept += _way(neighbours, start, rank, -1, d, True, 1)
            total += weights[point, k] * weights[point, k] * kept
            for m in range(size):
                if m == k:
                    continue
                low, high, side = (d - m, d - k, 1) if m > k else (d - k, d - m, 0)
                way = _way(neighbours, start, rank, low, high, True, side)
                way += _way(neighbours, start, rank, low, high, False, 1 - side)
                total += weights[point, k] * weights[point, m] * way
        result[point] = total
    return result


@njit(cache=True, nogil=True, fastmath=_ORDER_FREE)
@typing.no_type_check
def blur(values: Array, other: Array, neighbours: Array, reverse: bool) -> Array:
    """Blurred along each direction in turn; returns whichever of the two buffers has the result."""
    size, vertices = neighbours.shape[0], neighbours.shape[1]
    half = values.dtype.type(0.5)
    for step in range(size):
        near = neighbours[size - 1 - step if reverse else step]
        for vertex in range(vertices):
            left, right = values[near[vertex, 0]], values[near[vertex, 1]]
            here, there = values[vertex], other[vertex]
            for channel in range(values.shape[1]):
                there[channel] = here[channel] + half * (left[channel] + right[channel])
        values, other = other, values
    return values


@njit(cache=True, nogil=True, fastmath=_ORDER_FREE)
@typing.no_type_check
def filter_values(
    values: Array, corners: Array, weights: Array, neighbours: Array, own: Array
) -> Array:
    """Splat, blur, slice, less `own` times the values.

    The blur is the mean of one and its transpose, which takes directions backwards: with some
    vertices missing the order of directions matters a little, and the mean is symmetric.
    """
    count, channels = values.shape
    size, vertices = neighbours.shape[0], neighbours.shape[1]
    half = values.dtype.type(0.5)
    # one row more, which stays 0, stands for all vertices that are missing
    forth = np.zeros((vertices + 1, channels), dtype=values.dtype)
    for point in range(count):
        row = values[point]
        for k in range(size):
            weight, target = weights[point, k], forth[corners[point, k]]
            for channel in range(channels):
                target[channel] += weight * row[channel]
    back = forth.copy()
    buffer = np.zeros_like(forth)
    blurred = blur(forth, buffer, neighbours, False)
    spare = np.zeros_like(forth)
    transposed = blur(back, spare, neighbours, True)
    for vertex in range(vertices):
        for channel in range(channels):
            blurred[vertex, channel] = half * (
                blurred[vertex, channel] + transposed[vertex, channel]
            )
    result = np.empty_like(values)
    for point in range(count):
        row, before, kept = result[point], values[point], own[point]
        for channel in range(channels):
            row[channel] = -kept * before[channel]
        for k in range(size):
            weight, source = weights[point, k], blurred[corners[point, k]]
            for channel in range(channels):
                row[channel] += weight * source[channel]
    return result
