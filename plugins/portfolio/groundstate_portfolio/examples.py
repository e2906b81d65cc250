"""Small instances of everything in this plugin."""

from groundstate_portfolio.auto_discrete import AutoDiscrete
from groundstate_portfolio.cached import Cached, Memory


def auto_discretes() -> list[AutoDiscrete]:
    return [AutoDiscrete(solvers=("solver/icm", "solver/brute-force"), restarts=1)]


def cacheds() -> list[Cached]:
    return [Cached(), Cached(solver="solver/brute-force", memory=Memory(capacity=2))]
