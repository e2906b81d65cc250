"""Some rows of a block times a vector, and their transpose times another, in vector registers.

Written in LLVM's own terms, for loops over some twenty labels are too short for its vectoriser: it
does a quarter of each row one entry at a time. Here a row's last register reads on into the next
row, and what it read there is made 0.
"""

# llvmlite has no types
# pyright: basic, reportAttributeAccessIssue=false, reportMissingTypeStubs=false

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from groundstate_gcrf.registers import INDEX, Registers, data_of, fetch, registers

REGISTER = 32
"""Bytes in a vector register: what every processor has, or makes of two."""
AT_ONCE = 7
"""The most rows that fit into 16 registers beside what they are multiplied with."""


def _rows(count: int) -> Callable[..., None]:
    """The function for so many rows at once.

    It takes `(product, x, terms, here, there, entry, labels)`: two fields and the blocks, all flat;
    where in the fields the first row's variable and the other node are; where the first row is in
    the blocks; and the labels. Beyond the labels of a node, up to a multiple of a register, x must
    be 0, and product may be written; terms are read beyond the rows by less than a register.
    """

    @intrinsic
    def rows(
        _: Any, product: Any, x: Any, terms: Any, here: Any, there: Any, entry: Any, labels: Any
    ) -> Any:
        def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            kinds = signature.args[:3]
            fields = [
                data_of(context, builder, kind, value)
                for kind, value in zip(kinds, values[:3], strict=True)
            ]
            writer = registers(context, builder, kinds[0], REGISTER)
            _write(writer, count, fields, values[3:])
            return context.get_dummy_value()

        return types.void(product, x, terms, here, there, entry, labels), generate

    return rows


def _write(writer: Registers, count: int, fields: list[Any], places: Any) -> None:
    """The body: a loop over registers of columns, then what is left of them, then the sums."""
    builder, at = writer.builder, writer.at
    product, x, terms = fields
    here, there, entry, labels = places
    zero = ir.Constant(writer.vector, [0.0] * writer.lanes)
    variables = [builder.add(here, INDEX(row)) for row in range(count)]
    own = [writer.spread(builder.load(at(x, each)), writer.vector) for each in variables]
    entries = [builder.add(entry, builder.mul(labels, INDEX(row))) for row in range(count)]
    starts = [at(terms, each) for each in entries]
    sums = [cgutils.alloca_once_value(builder, zero) for _ in range(count)]

    def columns(first: Any, kept: Any | None) -> None:
        other = writer.load(at(x, builder.add(there, first)))
        target = at(product, builder.add(there, first))
        back = writer.load(target)
        for row in range(count):
            term = writer.load(at(starts[row], first))
            term = term if kept is None else builder.select(kept, term, zero)
            so_far = builder.load(sums[row])
            builder.store(writer.multiply_add(so_far, term, other), sums[row])
            back = writer.multiply_add(back, term, own[row])
        writer.store(back, target)

    left = builder.and_(labels, INDEX(writer.lanes - 1))
    whole = builder.sub(labels, left)
    step = INDEX(writer.lanes)
    with cgutils.for_range_slice(builder, INDEX(0), whole, step, INDEX) as (first, _):
        columns(first, None)
    with builder.if_then(builder.icmp_unsigned(">", left, INDEX(0))):
        columns(whole, writer.below(left))
    for variable, total in zip(variables, sums, strict=True):
        target = at(product, variable)
        so_far = builder.load(target)
        builder.store(builder.fadd(so_far, writer.add_up(builder.load(total))), target)


seven_rows, four_rows, two_rows, one_row = (_rows(count) for count in (AT_ONCE, 4, 2, 1))


@intrinsic
def prefetch(_: Any, terms: Any, entry: Any) -> Any:
    """Ask for the cache line of an entry, which need not exist."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        data = data_of(context, builder, signature.args[0], values[0])
        fetch(builder, builder.gep(data, [values[1]]))
        return context.get_dummy_value()

    return types.void(terms, entry), generate
