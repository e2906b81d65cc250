"""`reader/npz`: factor graphs of any form as NumPy arrays; the README documents the schema."""

import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from groundstate.energy import Energy, view
from groundstate.errors import FormatError, ViewError
from groundstate.factors import FactorGraph, FactorGroup
from groundstate_mrf.compressed import reading, suffixes, writing
from groundstate_mrf.factor_graph import FactorGraphEnergy
from groundstate_mrf.npz_groups import Arrays, Parts, read_group, write_group

SCHEMA = "groundstate-factor-graph"
VERSION = 2


@dataclass(frozen=True, kw_only=True)
class NPZReader:
    """Reads and writes `.npz`, plain or packed, exactly: types, batches, infinities and all."""

    @property
    def suffixes(self) -> tuple[str, ...]:
        return suffixes(".npz")

    def read(self, path: Path) -> FactorGraphEnergy:
        arrays = Arrays(path=path, arrays=_load(path))
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
                groups.append(read_group(arrays, name, form, counts))
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
        arrays: Parts = {"counts": graph.counts, "constant": graph.constant}
        forms: dict[str, str] = {}
        for number, group in enumerate(graph.groups):
            form, parts = write_group(group)
            forms[f"group_{number}_form"] = form
            arrays |= {f"group_{number}_{name}": value for name, value in parts.items()}
        plain: dict[str, Any] = {
            name: value.detach().cpu().numpy() for name, value in arrays.items()
        }
        plain |= {name: np.array(text) for name, text in forms.items()}
        plain |= {"schema": np.array(SCHEMA), "version": np.array(VERSION)}
        # in memory first: an archive is written back and forth, which a packed file is not
        content = io.BytesIO()
        np.savez_compressed(content, **plain)
        with writing(path) as file:
            file.write(content.getbuffer())


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


def _load(path: Path) -> Mapping[str, Any]:
    try:
        # opened here, since NumPy leaves what it cannot read open
        with reading(path) as raw, np.load(raw, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except (ValueError, EOFError, KeyError, AttributeError, zipfile.BadZipFile) as error:
        raise FormatError(path, None, "an NPZ file without pickled objects", str(error)) from error
