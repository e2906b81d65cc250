"""Some rows of a block times a vector, and their transpose times another, in vector registers.

Written in LLVM's own terms, for loops over some twenty labels are too short for its vectoriser: it
does a quarter of each row one entry at a time. Here a row's last register reads on into the next
row, and what it read there is made 0.
"""

# llvmlite has no types
# pyright: basic, reportAttributeAccessIssue=false, reportMissingTypeStubs=false

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

REGISTER = 32
"""Bytes in a vector register: what every processor has, or makes of two."""
AT_ONCE = 7
"""The most rows that fit into 16 registers beside what they are multiplied with."""
_ORDER_FREE = ("reassoc", "contract", "nsz")
"""Sums may be done in any order; NaN and infinity keep their meaning."""
_INDEX, _SHORT = ir.IntType(64), ir.IntType(32)


@dataclass(frozen=True, kw_only=True)
class _Writer:
    """Writes operations on registers of `lanes` numbers of `size` bytes."""

    builder: Any
    vector: ir.VectorType
    lanes: int
    size: int

    def at(self, pointer: Any, index: Any) -> Any:
        return self.builder.gep(pointer, [index])

    def load(self, pointer: Any) -> Any:
        place = self.builder.bitcast(pointer, self.vector.as_pointer())
        return self.builder.load(place, align=self.size)

    def store(self, value: Any, pointer: Any) -> None:
        place = self.builder.bitcast(pointer, self.vector.as_pointer())
        self.builder.store(value, place, align=self.size)

    def spread(self, value: Any, kind: ir.VectorType) -> Any:
        """One number in all lanes."""
        first = self.builder.insert_element(ir.Constant(kind, ir.Undefined), value, _SHORT(0))
        lanes = ir.Constant(ir.VectorType(_SHORT, self.lanes), [0] * self.lanes)
        return self.builder.shuffle_vector(first, first, lanes)

    def multiply_add(self, total: Any, left: Any, right: Any) -> Any:
        part = self.builder.fmul(left, right, flags=_ORDER_FREE)
        return self.builder.fadd(total, part, flags=_ORDER_FREE)

    def add_up(self, value: Any) -> Any:
        """The sum over lanes."""
        scalar = self.vector.element
        kind = ir.FunctionType(scalar, [scalar, self.vector])
        name = f"llvm.vector.reduce.fadd.v{self.lanes}f{8 * self.size}"
        function = cgutils.get_or_insert_function(self.builder.module, kind, name)
        nothing = ir.Constant(scalar, -0.0)
        return self.builder.call(function, [nothing, value], fastmath=_ORDER_FREE)

    def below(self, limit: Any) -> Any:
        """Which lanes have an index below the limit."""
        kind = ir.VectorType(_INDEX, self.lanes)
        lane = ir.Constant(kind, list(range(self.lanes)))
        return self.builder.icmp_unsigned("<", lane, self.spread(limit, kind))


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
            size = kinds[0].dtype.bitwidth // 8
            lanes = REGISTER // size
            vector = ir.VectorType(context.get_value_type(kinds[0].dtype), lanes)
            fields = [
                context.make_array(kind)(context, builder, value).data
                for kind, value in zip(kinds, values[:3], strict=True)
            ]
            writer = _Writer(builder=builder, vector=vector, lanes=lanes, size=size)
            _write(writer, count, fields, values[3:])
            return context.get_dummy_value()

        return types.void(product, x, terms, here, there, entry, labels), generate

    return rows


def _write(writer: _Writer, count: int, fields: list[Any], places: Any) -> None:
    """The body: a loop over registers of columns, then what is left of them, then the sums."""
    builder, at = writer.builder, writer.at
    product, x, terms = fields
    here, there, entry, labels = places
    zero = ir.Constant(writer.vector, [0.0] * writer.lanes)
    variables = [builder.add(here, _INDEX(row)) for row in range(count)]
    own = [writer.spread(builder.load(at(x, each)), writer.vector) for each in variables]
    entries = [builder.add(entry, builder.mul(labels, _INDEX(row))) for row in range(count)]
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

    left = builder.and_(labels, _INDEX(writer.lanes - 1))
    whole = builder.sub(labels, left)
    step = _INDEX(writer.lanes)
    with cgutils.for_range_slice(builder, _INDEX(0), whole, step, _INDEX) as (first, _):
        columns(first, None)
    with builder.if_then(builder.icmp_unsigned(">", left, _INDEX(0))):
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
        data = context.make_array(signature.args[0])(context, builder, values[0]).data
        place = builder.bitcast(builder.gep(data, [values[1]]), ir.IntType(8).as_pointer())
        kind = ir.FunctionType(ir.VoidType(), [place.type, _SHORT, _SHORT, _SHORT])
        fetch = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        read, keep, data_cache = _SHORT(0), _SHORT(3), _SHORT(1)
        builder.call(fetch, [place, read, keep, data_cache])
        return context.get_dummy_value()

    return types.void(terms, entry), generate
