"""Who has which name: the same answer in whatever order the plugins come.

A name belongs to the one that claims it. Where several claim it, those that another one overrides
(`replaces=`) step back, and a name in the shipped registry file belongs to the distribution that
the file names. What is left in doubt is nobody's: using it is an error that names all claimants.
`distribution:kind/name` always works.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from groundstate.component import Registered, normalized
from groundstate.errors import Fault


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """The outcome.

    Attributes:
        plain: `kind/name` -> the component that has it.
        qualified: `distribution:kind/name` -> the component.
        contested: `kind/name` -> all claimants, where none of them has it.
        faults: Every claim that was refused.
    """

    plain: Mapping[str, Registered]
    qualified: Mapping[str, Registered]
    contested: Mapping[str, tuple[Registered, ...]]
    faults: tuple[Fault, ...]


def settle(records: Sequence[Registered], owners: Mapping[str, str]) -> Names:
    """Decide every name.

    Args:
        records: All components.
        owners: `kind/name` -> the distribution that the shipped file gives it to.
    """
    qualified: dict[str, Registered] = {}
    faults: list[Fault] = []
    for record in sorted(records, key=lambda r: (r.key, r.qualified, r.plugin)):
        if record.qualified in qualified:
            faults.append(_twice(record, qualified[record.qualified]))
        else:
            qualified[record.qualified] = record
    claims: dict[str, list[Registered]] = {}
    for record in qualified.values():
        claims.setdefault(record.key, []).append(record)
    plain: dict[str, Registered] = {}
    contested: dict[str, tuple[Registered, ...]] = {}
    for key, claimants in claims.items():
        owner = normalized(owners[key]) if key in owners else None
        winners = _winners(claimants, owner)
        if len(winners) == 1:
            plain[key] = winners[0]
        else:
            contested[key] = tuple(claimants)
        faults += _refusals(key, claimants, winners, owner)
    return Names(plain=plain, qualified=qualified, contested=contested, faults=tuple(faults))


def _winners(claimants: Sequence[Registered], owner: str | None) -> list[Registered]:
    replaced = {_replaced(record) for record in claimants}
    left = [record for record in claimants if record.qualified not in replaced]
    if owner is None:
        return left
    heirs = {f"{owner}:{claimants[0].key}"}
    for _ in claimants:  # who overrides an heir inherits in turn
        heirs |= {record.qualified for record in claimants if _replaced(record) in heirs}
    return [record for record in left if record.qualified in heirs]


def _replaced(record: Registered) -> str | None:
    if record.component.replaces is None:
        return None
    distribution, key = record.component.replaces.split(":", 1)
    return f"{normalized(distribution)}:{key}"


def _refusals(
    key: str, claimants: Sequence[Registered], winners: Sequence[Registered], owner: str | None
) -> list[Fault]:
    if owner is None:
        if len(winners) == 1:
            return []
        first, *others = claimants
        also = " and ".join(_named(record) for record in others)
        cause = f"it claims {key!r}, and so does {also}; the plain name is an error when used"
        return [_fault(first, cause, cure(key, claimants))]
    replaced = {_replaced(record) for record in claimants}
    return [
        _fault(
            record,
            f"it claims {key!r}, which belongs to {owner}",
            f"Write {record.qualified!r} to use it; to override {owner}, its author declares "
            f"replaces='{owner}:{key}'.",
        )
        for record in claimants
        if record not in winners and record.qualified not in replaced and _foreign(record, owner)
    ]


def _foreign(record: Registered, owner: str) -> bool:
    return normalized(record.distribution) != owner


def _twice(record: Registered, first: Registered) -> Fault:
    cause = f"it offers {record.key!r}, which plugin {first.plugin!r} of the same offers already"
    return _fault(record, cause, "The first is kept; its author must rename one.")


def _named(record: Registered) -> str:
    return f"{record.distribution} {record.version}".strip()


def _fault(record: Registered, cause: str, cure: str) -> Fault:
    return Fault(
        distribution=record.distribution,
        version=record.version,
        entry_point=record.plugin,
        cause=cause,
        cure=cure,
    )


def cure(key: str, claimants: Sequence[Registered]) -> str:
    """How to choose between several claimants of a name."""
    spellings = " or ".join(repr(record.qualified) for record in claimants)
    return f"Write {spellings}, or disable a plugin with GROUNDSTATE_DISABLE={claimants[0].plugin}."
