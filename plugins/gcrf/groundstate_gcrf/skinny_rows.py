"""Products of a few rows with many, all of them long, in vector registers.

BLAS libraries are made for squarer matrices: with some twenty labels they reach a third of what
registers can do. Written in LLVM's own terms, which keep every sum in a register of its own.
"""

# llvmlite has no types
# pyright: basic, reportAttributeAccessIssue=false, reportMissingTypeStubs=false

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from groundstate_gcrf.registers import (
    INDEX,
    data_of,
    fetch,
    registers,
    widest,
)

LABELS = 7
"""Rows of the few at once, and 21 is a multiple of it."""
AT_ONCE = 3
"""Of the many, or registers of columns: times `LABELS` they leave some of 32 registers free."""


def tile(size: int) -> int:
    """Columns that are done at once, of numbers of so many bytes."""
    return AT_ONCE * widest() // size


def _inner(few: int, many: int) -> Callable[..., None]:
    """The function that adds inner products of so many rows to a table.

    It takes `(table, x, factor, place, columns, here, width, there, length, count)`: flat arrays;
    where in the table the first product goes, and how long its rows are; where the first row of x
    begins, and how far apart its rows are; likewise for the factor; and how many numbers of each
    row to go through, a multiple of `tile`.
    """

    @intrinsic
    def inner(
        _: Any,
        table: Any,
        x: Any,
        factor: Any,
        place: Any,
        columns: Any,
        here: Any,
        width: Any,
        there: Any,
        length: Any,
        count: Any,
    ) -> Any:
        def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            kinds = signature.args
            writer, at = registers(context, builder, kinds[0], widest()), builder.gep
            target, left, right = (
                data_of(context, builder, kind, value)
                for kind, value in zip(kinds[:3], values[:3], strict=True)
            )
            place, columns, here, width, there, length, count = values[3:]
            lefts = [
                at(left, [builder.add(here, builder.mul(width, INDEX(row)))]) for row in range(few)
            ]
            rights = [
                at(right, [builder.add(there, builder.mul(length, INDEX(row)))])
                for row in range(many)
            ]
            zero = ir.Constant(writer.vector, [0.0] * writer.lanes)
            sums = [[cgutils.alloca_once_value(builder, zero) for _ in rights] for _ in lefts]
            step = INDEX(writer.lanes)
            with cgutils.for_range_slice(builder, INDEX(0), count, step, INDEX) as (first, _n):
                others = [writer.load(at(row, [first])) for row in rights]
                for row, totals in zip(lefts, sums, strict=True):
                    own = writer.load(at(row, [first]))
                    for total, other in zip(totals, others, strict=True):
                        so_far = builder.load(total)
                        builder.store(writer.multiply_add(so_far, own, other), total)
            for row, totals in enumerate(sums):
                start = builder.add(place, builder.mul(columns, INDEX(row)))
                for column, total in enumerate(totals):
                    entry = at(target, [builder.add(start, INDEX(column))])
                    found = writer.add_up(builder.load(total))
                    builder.store(builder.fadd(builder.load(entry), found), entry)
            return context.get_dummy_value()

        kinds = (table, x, factor, place, columns, here, width, there, length, count)
        return types.void(*kinds), generate

    return inner


def _outer(few: int) -> Callable[..., None]:
    """The function that makes a tile of scale · x + table · factor, of so many rows.

    It takes `(product, x, table, factor, scale, here, width, place, columns, there, length)`: flat
    arrays, and where the tile begins in the product and in x, how far apart their rows are; where
    the first row of the table begins, and how long its rows are, which is how many rows of the
    factor there are; and where the tile begins in the factor, and how far apart its rows are.
    """

    @intrinsic
    def outer(
        _: Any,
        product: Any,
        x: Any,
        table: Any,
        factor: Any,
        scale: Any,
        here: Any,
        width: Any,
        place: Any,
        columns: Any,
        there: Any,
        length: Any,
    ) -> Any:
        def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            kinds = signature.args
            writer, at = registers(context, builder, kinds[0], widest()), builder.gep
            target, own, strengths, rows = (
                data_of(context, builder, kind, value)
                for kind, value in zip(kinds[:4], values[:4], strict=True)
            )
            scale, here, width, place, columns, there, length = values[4:]
            spread = writer.spread(scale, writer.vector)
            parts = [INDEX(part * writer.lanes) for part in range(AT_ONCE)]
            places = [builder.add(here, builder.mul(width, INDEX(row))) for row in range(few)]
            starts = [builder.add(place, builder.mul(columns, INDEX(row))) for row in range(few)]
            sums: list[list[Any]] = []
            for first in places:
                numbers = [writer.load(at(own, [builder.add(first, part)])) for part in parts]
                scaled = [builder.fmul(spread, number) for number in numbers]
                sums.append([cgutils.alloca_once_value(builder, each) for each in scaled])
            with cgutils.for_range(builder, columns, intp=INDEX) as loop:
                begin = builder.add(there, builder.mul(length, loop.index))
                entries = [at(rows, [builder.add(begin, part)]) for part in parts]
                for entry in entries:
                    # of the next tile: no processor guesses that from so many rows
                    fetch(builder, at(entry, [INDEX(AT_ONCE * writer.lanes)]))
                others = [writer.load(entry) for entry in entries]
                for start, totals in zip(starts, sums, strict=True):
                    strength = builder.load(at(strengths, [builder.add(start, loop.index)]))
                    strength = writer.spread(strength, writer.vector)
                    for total, other in zip(totals, others, strict=True):
                        so_far = builder.load(total)
                        builder.store(writer.multiply_add(so_far, strength, other), total)
            for first, totals in zip(places, sums, strict=True):
                for part, total in zip(parts, totals, strict=True):
                    writer.store(builder.load(total), at(target, [builder.add(first, part)]))
            return context.get_dummy_value()

        kinds = (product, x, table, factor, scale, here, width, place, columns, there, length)
        return types.void(*kinds), generate

    return outer


inner_7_3, inner_7_1, inner_1_3, inner_1_1 = (
    _inner(few, many) for few in (LABELS, 1) for many in (AT_ONCE, 1)
)
outer_7, outer_3, outer_1 = (_outer(few) for few in (LABELS, 3, 1))
