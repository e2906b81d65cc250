"""A pairwise problem made ready for moves that mix two labellings."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import numpy as np

from groundstate_moves import fuse_kernel
from groundstate_moves.network import Network, network
from groundstate_moves.ordered import forbidding
from groundstate_mrf.flat import FlatPairwise, Whole

_fuse = cast(Callable[..., tuple[bool, int]], fuse_kernel.fuse)


@dataclass(frozen=True, kw_only=True)
class Mixer:
    """A problem with what every move over it needs.

    Attributes:
        flat: the problem.
        net: its edges as arcs.
        big: what stands for infinity in a cut, in nats.
    """

    flat: FlatPairwise
    net: Network
    big: float

    def mix(self, labels: Whole, left: Whole, right: Whole) -> bool:
        """Take the best mixture of two labellings where it is better than `labels`, written to."""
        flat, net = self.flat, self.net
        better, _ = _fuse(
            flat.counts,
            flat.offsets,
            flat.costs,
            flat.edges,
            flat.weights,
            flat.table_of,
            flat.starts,
            flat.tables,
            net.first,
            net.head,
            net.sister,
            net.forward,
            self.big,
            np.ascontiguousarray(left),
            np.ascontiguousarray(right),
            labels,
        )
        return bool(better)


def mixer(flat: FlatPairwise) -> Mixer:
    """The problem, ready for moves."""
    net = network(len(flat.counts), flat.edges)
    return Mixer(flat=flat, net=net, big=forbidding(flat))
