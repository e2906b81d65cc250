"""Small instances of every component, for the conformance laws."""

from groundstate_moves.graph_cut import GraphCut


def graph_cuts() -> list[GraphCut]:
    return [GraphCut()]
