"""Which solvers a portfolio runs, in which order, and why.

Solvers are known by name here and looked up in the registry when they are needed, so that a plugin
that is not installed is not missed. Those of other people join by what they need and claim.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from groundstate.registry import Registry
from groundstate_portfolio.facts import Facts

EXACT: Mapping[str, str] = {
    "solver/tree-dp": "a forest: dynamic programming is exact",
    "solver/graph-cut": "submodular: a minimum cut is exact",
    "solver/junction-tree": "of small treewidth: elimination is exact",
}
"""Solvers that refuse what they cannot solve to the end, in the order they are asked."""
LOCAL = ("solver/lazy-flipper", "solver/icm")
"""Solvers that improve a labelling by small moves; the first that is installed is used."""
_LAST = "solver/ilp"
_SMALL = 16.0
"""Bits of labellings up to which all of them are looked at."""
_PROGRAM = 20_000
"""Unknowns up to which an integer program is worth starting."""
_LEFT_OUT = frozenset(
    {
        "solver/auto-discrete",
        "solver/cached",
        "solver/brute-force",
        "solver/mean-field",
        "solver/sum-product",
        "solver/trw-bp",
        "solver/gibbs",
        "solver/swendsen-wang",
        "solver/toulbar2",
        "solver/alpha-beta-swap",
        "solver/lp",
    }
)
"""Itself; what answers another question, does the same as another, or is not asked for."""


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A solver to run.

    Attributes:
        key: in the registry.
        why: it is there.
        last: whether it waits until nothing else helps: one step of it may take all the time.
    """

    key: str
    why: str
    last: bool = False


def exact(facts: Facts, registry: Registry) -> list[Candidate]:
    """Solvers that end with a proof, where they take the problem."""
    found = [Candidate(key=key, why=why) for key, why in EXACT.items()]
    if facts.labellings <= _SMALL:
        why = f"2^{facts.labellings:.0f} labellings: all are looked at"
        found.append(Candidate(key="solver/brute-force", why=why))
    return [each for each in found if each.key in registry]


def improving(facts: Facts, views: frozenset[str], registry: Registry) -> list[Candidate]:
    """Solvers that take turns where nothing exact fits."""
    reasons: dict[str, str] = {"solver/icm": "a first labelling at once"}
    if facts.order <= 2:
        reasons["solver/trws"] = "pairwise: a good bound"
        reasons["solver/alpha-expansion"] = "pairwise: large moves, where labels have distances"
        reasons["solver/fusion"] = "pairwise: joins the labellings of others"
    if facts.messages:
        reasons["solver/max-product"] = "its factors serve messages"
        reasons["solver/dual-decomposition"] = "its factors serve messages: a bound"
    reasons["solver/lazy-flipper"] = "small moves from the best labelling so far"
    reasons["solver/annealing"] = "leaves local minima"
    if facts.cells <= _PROGRAM:
        reasons[_LAST] = f"{facts.cells} unknowns: small enough for an integer program"
    found = {key: why for key, why in reasons.items() if key in registry}
    for record in registry.matching(views):
        key = registry.spelling(record)
        if key in found or key in _LEFT_OUT or key in EXACT or "sampler" in record.component.claims:
            continue
        if "FactorGraph" in record.component.needs and key not in reasons:
            found[key] = f"registered by {record.distribution}, and fits"
    return [Candidate(key=key, why=why, last=key == _LAST) for key, why in found.items()]


def named(keys: tuple[str, ...]) -> list[Candidate]:
    """What the user wants."""
    return [Candidate(key=key, why="asked for") for key in keys]
