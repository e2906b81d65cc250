"""`reader/npz`: factor graphs of any form as NumPy arrays; the README documents the schema."""

import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, cast

import numpy as np
import torch
from jaxtyping import Shaped
from torch import Tensor

from groundstate.energy import Energy, view
from groundstate.errors import FormatError, ViewError
from groundstate.factors import FactorGraph, FactorGroup
from groundstate.files import atomic
from groundstate_mrf.factor_graph import FactorGraphEnergy
from groundstate_mrf.groups.cardinality import CardinalityGroup
from groundstate_mrf.groups.grid import GridPottsGroup
from groundstate_mrf.groups.potts import PottsGroup
from groundstate_mrf.groups.tables import TableGroup

SCHEMA = "groundstate-factor-graph"
VERSION = 1
Arrays = dict[str, Shaped[Tensor, "..."]]


@dataclass(frozen=True, kw_only=True)
class NPZReader:
    """Reads and writes `.npz`, exactly: types, batches, infinities and all."""

    @property
    def suffixes(self) -> tuple[str, ...]:
        return (".npz",)

    def read(self, path: Path) -> FactorGraphEnergy:
        arrays = _Arrays(path=path, arrays=_load(path))
        if str(arrays.raw("schema")) != SCHEMA:
            arrays.fail(f"`schema` to be {SCHEMA!r}", repr(str(arrays.raw("schema"))))
        if str(arrays.raw("version")) != str(VERSION):
            arrays.fail(f"`version` to be {VERSION}", repr(str(arrays.raw("version"))))
        counts, constant = arrays.whole("counts", 1), arrays.real("constant")
        if bool((counts < 1).any()):
            arrays.fail("`counts` of at least 1", str(int(counts.min())))
        if float(counts.to(torch.float64).sum()) > torch.iinfo(torch.int64).max:
            arrays.fail("`counts` whose sum is a 64 bit number", "more labels")
        batch = tuple(constant.shape)
        groups: list[FactorGroup] = []
        while (form := arrays.form(len(groups))) is not None:
            name = f"group_{len(groups)}"
            try:
                groups.append(_read_group(arrays, name, form, counts))
                _check_group(groups[-1], batch)
            except (ValueError, IndexError) as error:
                if isinstance(error, FormatError):
                    raise
                arrays.fail(f"`{name}` to be {form} factors", f"a fault: {error}")
        arrays.refuse_groups_after(len(groups))
        try:
            return FactorGraphEnergy(counts=counts, groups=tuple(groups), constant=constant)
        except ValueError as error:
            arrays.fail("factors on the variables of `counts`", f"a fault: {error}")

    def write(self, energy: Energy, path: Path) -> None:
        graph = view(energy, FactorGraph)
        if graph.segments is not None:
            raise ViewError("an NPZ file holds problems of one shape; write each part of a union")
        arrays: Arrays = {"counts": graph.counts, "constant": graph.constant}
        forms: dict[str, str] = {}
        for number, group in enumerate(graph.groups):
            form, parts = _write_group(group)
            forms[f"group_{number}_form"] = form
            arrays |= {f"group_{number}_{name}": value for name, value in parts.items()}
        plain: dict[str, Any] = {
            name: value.detach().cpu().numpy() for name, value in arrays.items()
        }
        plain |= {name: np.array(text) for name, text in forms.items()}
        plain |= {"schema": np.array(SCHEMA), "version": np.array(VERSION)}
        with atomic(path) as draft, draft.open("wb") as file:
            np.savez_compressed(file, **plain)


def _write_group(group: FactorGroup) -> tuple[str, Arrays]:
    if isinstance(group, GridPottsGroup):
        group = group.edges
    if isinstance(group, TableGroup):
        return "tables", {"scope": group.scope, "tables": group.tables}
    if isinstance(group, PottsGroup):
        return "potts", {"edges": group.edges, "weights": group.weights}
    if isinstance(group, CardinalityGroup):
        parts = {"owners": group.owners, "variables": group.slots, "values": group.values}
        return "cardinality", parts
    raise ViewError(
        f"an NPZ file holds tables, Potts and cardinality factors, not a {type(group).__name__}"
    )


def _read_group(arrays: "_Arrays", name: str, form: str, counts: Tensor) -> FactorGroup:
    total = int(counts.sum())
    offsets = counts.cumsum(0) - counts
    if form == "tables":
        scope, tables = arrays.whole(f"{name}_scope", 2), arrays.real(f"{name}_tables")
        group = TableGroup(scope=scope, first=_at(offsets, scope), tables=tables, total=total)
        if bool((_at(counts, scope) != torch.tensor(group.widths)).any()):
            arrays.fail(f"`{name}_tables` with as many labels as `counts` says", str(group.widths))
        return group
    if form == "potts":
        edges, weights = arrays.whole(f"{name}_edges", 2), arrays.real(f"{name}_weights")
        if edges.shape[1] != 2:
            arrays.fail(f"`{name}_edges` of shape [edges, 2]", str(tuple(edges.shape)))
        labels = int(_at(counts, edges).max()) if edges.numel() else 1
        if bool((_at(counts, edges) != labels).any()):
            arrays.fail(f"`{name}_edges` between variables with equally many labels", "others")
        return PottsGroup(
            edges=edges, first=_at(offsets, edges), weights=weights, labels=labels, total=total
        )
    if form == "cardinality":
        slots = arrays.whole(f"{name}_variables", 1)
        if bool((_at(counts, slots) != 2).any()):
            arrays.fail(f"`{name}_variables` with 2 labels", "others")
        owners = arrays.whole(f"{name}_owners", 1)
        if len(owners) != len(slots) or bool((owners < 0).any()):
            arrays.fail(f"`{name}_owners` with a factor 0, 1, ... for each variable", "others")
        return CardinalityGroup(
            owners=owners,
            slots=slots,
            first=_at(offsets, slots),
            values=arrays.real(f"{name}_values"),
            total=total,
        )
    arrays.fail(f"`{name}_form` to be tables, potts or cardinality", repr(form))


def _check_group(group: FactorGroup, batch: tuple[int, ...]) -> None:
    """What the groups themselves take for granted.

    Raises:
        ValueError: a variable stands twice in a factor, or the batch is not the constant's.
    """
    pairs = torch.stack([group.owners, group.slots], -1)
    different = cast(Tensor, torch.unique(pairs, dim=0))
    if len(different) < len(pairs):
        raise ValueError("the variables of a factor must all be different")
    lead = tuple(group.minima().shape[:-1])
    if len(lead) > len(batch) or any(
        own not in (1, whole) for own, whole in zip(lead[::-1], batch[::-1], strict=False)
    ):
        raise ValueError(
            f"its batch shape is {lead}, and that of the problem, the shape of `constant`, {batch}"
        )


def _at(values: Tensor, variables: Tensor) -> Tensor:
    if variables.numel() and not 0 <= int(variables.min()) <= int(variables.max()) < len(values):
        raise ValueError(f"variables must lie in 0 ... {len(values) - 1}")
    return values[variables]


def _load(path: Path) -> Mapping[str, Any]:
    try:
        # opened here, since NumPy leaves what it cannot read open
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except (ValueError, EOFError, KeyError, AttributeError, zipfile.BadZipFile) as error:
        raise FormatError(path, None, "an NPZ file without pickled objects", str(error)) from error


@dataclass(frozen=True, kw_only=True)
class _Arrays:
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
