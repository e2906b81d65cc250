"""What a law is, as data."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


def always(_: Any) -> bool:
    """Applies to everything."""
    return True


@dataclass(frozen=True, kw_only=True)
class Law:
    """One thing that must hold.

    Attributes:
        check: raises `Broken` where it does not hold; takes the instance, and a problem for laws of
            solvers and adapters.
        applies: which problems (solvers, adapters) or instances (all others) it is about.
    """

    check: Callable[..., None]
    applies: Callable[[Any], bool] = always

    @property
    def name(self) -> str:
        return self.check.__name__


def laws(*checks: Callable[..., None], applies: Callable[[Any], bool] = always) -> tuple[Law, ...]:
    """The laws of these functions, all about the same things."""
    return tuple(Law(check=check, applies=applies) for check in checks)
