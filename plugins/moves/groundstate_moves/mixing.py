"""A pairwise problem made ready for moves that mix two labellings."""

from dataclasses import dataclass

import numpy as np

from groundstate_moves.fuse_kernel import fuse
from groundstate_moves.network import Network, network
from groundstate_moves.ordered import forbidding
from groundstate_mrf.flat import FlatPairwise, Whole


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
        better, _ = fuse(
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
