"""Networks of arcs in the order that the flow kernel reads them, and energies that they cut.

    E(z) = c + Σ_i t_i z_i + Σ_e (u_e [z_a = 0, z_b = 1] + v_e [z_a = 1, z_b = 0]),  e = (a, b)

with z in {0, 1} and u, v >= 0 is the value of a cut: z = 0 on the source's side. For any flow f_e
from a to b within -v_e <= f_e <= u_e the same energy is

    c + Σ_i (t_i - Σ_out f + Σ_in f) z_i + Σ_e ((u_e - f_e) [...] + (v_e + f_e) [...]),

so that c plus the negative parts of the new t bound it from below, and at a maximum flow are its
minimum. Kolmogorov, Zabih: What Energy Functions Can Be Minimized via Graph Cuts? (2004).
"""

import typing
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numba import njit
from numpy.typing import NDArray

from groundstate_moves import flow_kernel

Array = NDArray[Any]
Whole = NDArray[np.int64]
Reals = NDArray[np.float64]

_push = cast(Callable[..., bool], flow_kernel.push)
_EPSILON = float(np.finfo(np.float64).eps)


@dataclass(frozen=True, kw_only=True)
class Network:
    """Arcs node after node; each edge is an arc there and one back.

    Attributes:
        edges: `[edges, 2]`, from a to b.
        first: where the arcs of each node begin, and behind the last how many there are.
        head: where each arc leads.
        sister: the arc back.
        forward: the arc from a to b of each edge.
    """

    edges: Whole
    first: Array
    head: Array
    sister: Array
    forward: Array

    @property
    def nodes(self) -> int:
        return len(self.first) - 1


def network(nodes: int, edges: Whole) -> Network:
    """The arcs of these edges."""
    first, head, sister, forward = _arrange(nodes, edges)
    return Network(edges=edges, first=first, head=head, sister=sister, forward=forward)


@njit(cache=True, nogil=True)
@typing.no_type_check
def _arrange(nodes: int, edges: Array) -> tuple[Array, Array, Array, Array]:
    number = edges.shape[0]
    first = np.zeros(nodes + 1, np.int64)
    for e in range(number):
        first[edges[e, 0] + 1] += 1
        first[edges[e, 1] + 1] += 1
    for i in range(nodes):
        first[i + 1] += first[i]
    free = first[:-1].copy()
    head = np.empty(2 * number, np.int32)
    sister = np.empty(2 * number, np.int32)
    forward = np.empty(number, np.int32)
    for e in range(number):
        a, b = edges[e, 0], edges[e, 1]
        there, back = free[a], free[b]
        free[a] += 1
        free[b] += 1
        head[there], head[back] = b, a
        sister[there], sister[back] = back, there
        forward[e] = there
    return first, head, sister, forward


@dataclass(frozen=True, kw_only=True)
class CutEnergy:
    """An energy of binary variables that a cut gives exactly (see the module).

    Attributes:
        network: the variables and the edges.
        there: u of each edge, not negative.
        back: v of each edge, not negative.
        terminal: t of each variable.
        constant: c.
    """

    network: Network
    there: Reals
    back: Reals
    terminal: Reals
    constant: float

    def rest(self, flow: Reals) -> Reals:
        """T of each variable, given the flow over each edge."""
        edges, nodes = self.network.edges, self.network.nodes
        out = np.bincount(edges[:, 0], weights=flow, minlength=nodes)
        into = np.bincount(edges[:, 1], weights=flow, minlength=nodes)
        return self.terminal - out + into

    def bound(self, flow: Reals) -> float:
        """A lower bound on the energy, in nats: what rounding may have added is taken off."""
        low = np.minimum(self.rest(flow), 0.0).sum()
        size = np.abs(self.terminal).sum() + 2 * np.abs(flow).sum() + abs(self.constant)
        return float(self.constant + low - 8 * _EPSILON * size)

    def improve(self, flow: Reals, paths: int) -> tuple[Reals, Array, bool]:
        """More flow over at most that many paths; z of a minimum, and whether it is one."""
        net = self.network
        forward, backward = net.forward, net.sister[net.forward]
        capacity = np.empty(len(net.head))
        # what is left over by rounding would be sent around for ever
        capacity[forward] = _rounded(self.there - flow, self.there + np.abs(flow))
        capacity[backward] = _rounded(self.back + flow, self.back + np.abs(flow))
        tree = np.empty(net.nodes, np.uint8)
        passing = np.bincount(net.edges.reshape(-1), np.abs(flow).repeat(2), net.nodes)
        rest = _rounded(self.rest(flow), np.abs(self.terminal) + passing)
        finished = _push(net.first, net.head, net.sister, capacity, rest, tree, paths)
        flow = np.clip(self.there - capacity[forward], -self.back, self.there)
        return flow, (tree != flow_kernel.SOURCE).astype(np.int64), finished


def _rounded(values: Reals, size: NDArray[Any]) -> Reals:
    """0 for what is no more than the rounding of sums of numbers of this size."""
    return np.where(np.abs(values) <= 16 * _EPSILON * size, 0.0, values)
