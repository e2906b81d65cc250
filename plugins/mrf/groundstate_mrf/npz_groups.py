"""Each form of factor group as named arrays, and back; the README documents them."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import torch
from jaxtyping import Int, Shaped
from torch import Tensor

from groundstate.errors import FormatError, ViewError
from groundstate.factors import FactorGroup
from groundstate_mrf.groups.cardinality import CardinalityGroup
from groundstate_mrf.groups.distance import DistanceGroup
from groundstate_mrf.groups.grid import GridPottsGroup
from groundstate_mrf.groups.linear import LinearGroup
from groundstate_mrf.groups.patterns import PatternGroup
from groundstate_mrf.groups.potts import PottsGroup
from groundstate_mrf.groups.scopes import Scopes
from groundstate_mrf.groups.slots import first_entries
from groundstate_mrf.groups.tables import TableGroup
from groundstate_mrf.typed import whole

Parts = dict[str, Shaped[Tensor, "..."]]
_FORMS = "tables, potts, distance, cardinality, patterns or linear"


def write_group(group: FactorGroup) -> tuple[str, Parts]:
    """The form of a group, and its arrays by name.

    Raises:
        ViewError: if the format has no such form.
    """
    if isinstance(group, GridPottsGroup):
        group = group.edges
    if isinstance(group, TableGroup):
        return "tables", {"scope": group.scope, "tables": group.tables}
    if isinstance(group, PottsGroup):
        return "potts", {"edges": group.edges, "weights": group.weights}
    if isinstance(group, DistanceGroup):
        parts = {"edges": group.edges, "weights": group.weights, "table": group.table}
        return "distance", parts
    if isinstance(group, CardinalityGroup):
        parts = {"owners": group.owners, "variables": group.slots, "counted": group.counted}
        return "cardinality", parts | {"values": group.values}
    if isinstance(group, PatternGroup):
        parts = {"scope": group.scopes.variables, "factor": group.factor}
        parts |= {"patterns": group.patterns, "energies": group.energies_of}
        return "patterns", parts | {"default": group.default}
    if isinstance(group, LinearGroup):
        parts = {"scope": group.scopes.variables, "weights": group.weights}
        return "linear", parts | {"values": group.values}
    raise ViewError(
        f"an NPZ file holds {_FORMS} factors, not a {type(group).__name__}: only what is numbers "
        "can be written, a function cannot"
    )


def read_group(
    arrays: "Arrays", name: str, form: str, counts: Int[Tensor, " variables"]
) -> FactorGroup:
    """The group of a form from the arrays that begin with `name`.

    Raises:
        FormatError: an array is missing or of the wrong type.
        ValueError: the arrays do not fit together.
    """
    if form == "tables":
        return _read_tables(arrays, name, counts)
    if form == "potts":
        return _read_potts(arrays, name, counts)
    if form == "distance":
        return _read_distance(arrays, name, counts)
    if form == "cardinality":
        return _read_cardinality(arrays, name, counts)
    if form == "patterns":
        return PatternGroup(
            scopes=_read_scopes(arrays, name, counts),
            factor=arrays.whole(f"{name}_factor", 1),
            patterns=arrays.whole(f"{name}_patterns", 2),
            energies_of=arrays.real(f"{name}_energies"),
            default=arrays.real(f"{name}_default"),
        )
    if form == "linear":
        return LinearGroup(
            scopes=_read_scopes(arrays, name, counts),
            weights=arrays.whole(f"{name}_weights", 2),
            values=arrays.real(f"{name}_values"),
        )
    arrays.fail(f"`{name}_form` to be {_FORMS}", repr(form))


def _read_scopes(arrays: "Arrays", name: str, counts: Int[Tensor, " variables"]) -> Scopes:
    scope = arrays.whole(f"{name}_scope", 2)
    widths = at(counts, scope)
    if not len(scope) or bool((widths != widths[0]).any()):
        arrays.fail(f"`{name}_scope` with factors of the same label counts", "others")
    first, total = at(first_entries(counts), scope), int(counts.sum())
    return Scopes(variables=scope, first=first, widths=tuple(whole(widths[0])), total=total)


def _read_tables(arrays: "Arrays", name: str, counts: Int[Tensor, " variables"]) -> TableGroup:
    scope, tables = arrays.whole(f"{name}_scope", 2), arrays.real(f"{name}_tables")
    first, total = at(first_entries(counts), scope), int(counts.sum())
    group = TableGroup(scope=scope, first=first, tables=tables, total=total)
    if bool((at(counts, scope) != torch.tensor(group.widths)).any()):
        arrays.fail(f"`{name}_tables` with as many labels as `counts` says", str(group.widths))
    return group


def _read_distance(arrays: "Arrays", name: str, counts: Int[Tensor, " variables"]) -> DistanceGroup:
    edges, table = arrays.whole(f"{name}_edges", 2), arrays.real(f"{name}_table")
    if edges.shape[1] != 2 or table.dim() != 2 or len(table) != table.shape[1]:
        arrays.fail(f"`{name}_edges` [edges, 2] and `{name}_table` [labels, labels]", "others")
    if bool((at(counts, edges) != len(table)).any()):
        arrays.fail(f"`{name}_edges` between variables with {len(table)} labels", "others")
    first, weights = at(first_entries(counts), edges), arrays.real(f"{name}_weights")
    total = int(counts.sum())
    return DistanceGroup(edges=edges, first=first, weights=weights, table=table, total=total)


def _read_potts(arrays: "Arrays", name: str, counts: Int[Tensor, " variables"]) -> PottsGroup:
    edges, weights = arrays.whole(f"{name}_edges", 2), arrays.real(f"{name}_weights")
    if edges.shape[1] != 2:
        arrays.fail(f"`{name}_edges` of shape [edges, 2]", str(tuple(edges.shape)))
    labels = int(at(counts, edges).max()) if edges.numel() else 1
    if bool((at(counts, edges) != labels).any()):
        arrays.fail(f"`{name}_edges` between variables with equally many labels", "others")
    first, total = at(first_entries(counts), edges), int(counts.sum())
    return PottsGroup(edges=edges, first=first, weights=weights, labels=labels, total=total)


def _read_cardinality(
    arrays: "Arrays", name: str, counts: Int[Tensor, " variables"]
) -> CardinalityGroup:
    slots, owners = arrays.whole(f"{name}_variables", 1), arrays.whole(f"{name}_owners", 1)
    if len(owners) != len(slots) or bool((owners < 0).any()):
        arrays.fail(f"`{name}_owners` with a factor 0, 1, ... for each variable", "others")
    return CardinalityGroup(
        owners=owners,
        slots=slots,
        first=at(first_entries(counts), slots),
        widths=at(counts, slots),
        counted=arrays.whole(f"{name}_counted", 1),
        values=arrays.real(f"{name}_values"),
        total=int(counts.sum()),
    )


def at(values: Tensor, variables: Tensor) -> Tensor:
    """Values of variables that may not exist."""
    if variables.numel() and not 0 <= int(variables.min()) <= int(variables.max()) < len(values):
        raise ValueError(f"variables must lie in 0 ... {len(values) - 1}")
    return values[variables]


@dataclass(frozen=True, kw_only=True)
class Arrays:
    """The arrays of a file, each checked as it is asked for."""

    path: Path
    arrays: Mapping[str, Any]

    def raw(self, name: str) -> Any:
        if name not in self.arrays:
            self.fail(f"an array `{name}`", ", ".join(sorted(self.arrays)) or "none")
        return self.arrays[name]

    def form(self, number: int) -> str | None:
        """The form of a group; None after the last one."""
        name = f"group_{number}_form"
        return str(self.arrays[name]) if name in self.arrays else None

    def refuse_groups_after(self, count: int) -> None:
        """Look that no group is left unread, beyond a gap in their numbers."""
        left = [
            name
            for name in sorted(self.arrays)
            if (found := re.match(r"group_(\d+)_", name)) and int(found[1]) >= count
        ]
        if left:
            self.fail(f"groups 0, 1, ... without a gap, so `group_{count}_form`", f"`{left[0]}`")

    def whole(self, name: str, dimensions: int) -> Tensor:
        array = self.raw(name)
        if array.dtype.kind not in "iu" or array.ndim != dimensions:
            self.fail(f"`{name}` to hold whole numbers in {dimensions} dimensions", self._is(array))
        return torch.from_numpy(array.astype(np.int64))

    def real(self, name: str) -> Tensor:
        array = self.raw(name)
        if array.dtype not in (np.float32, np.float64) or not bool((array > -np.inf).all()):
            self.fail(f"`{name}` to hold float32 or float64 without NaN or -inf", self._is(array))
        return torch.from_numpy(array)

    def fail(self, expected: str, found: str) -> NoReturn:
        raise FormatError(self.path, None, expected, found)

    def _is(self, array: Any) -> str:
        return f"{array.dtype} of shape {array.shape}"
