"""Small instances of every component, for the conformance laws."""

from groundstate_messages.trws import TRWS


def trws() -> list[TRWS]:
    return [TRWS(), TRWS(order="breadth-first", polish=False), TRWS(order="cuthill-mckee")]
