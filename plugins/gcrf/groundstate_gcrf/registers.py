"""Vector registers in LLVM's own terms, for loops that its vectoriser leaves alone."""

# llvmlite has no types
# pyright: basic, reportAttributeAccessIssue=false, reportMissingTypeStubs=false

from dataclasses import dataclass
from functools import cache
from typing import Any

from llvmlite import binding, ir
from numba.core import cgutils

ORDER_FREE = ("reassoc", "contract", "nsz")
"""Sums may be done in any order; NaN and infinity keep their meaning."""
INDEX, SHORT = ir.IntType(64), ir.IntType(32)


@cache
def widest() -> int:
    """Bytes in the widest vector register of this processor."""
    return 64 if binding.get_host_cpu_features().get("avx512f") else 32


@dataclass(frozen=True, kw_only=True)
class Registers:
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
        first = self.builder.insert_element(ir.Constant(kind, ir.Undefined), value, SHORT(0))
        lanes = ir.Constant(ir.VectorType(SHORT, self.lanes), [0] * self.lanes)
        return self.builder.shuffle_vector(first, first, lanes)

    def multiply_add(self, total: Any, left: Any, right: Any) -> Any:
        part = self.builder.fmul(left, right, flags=ORDER_FREE)
        return self.builder.fadd(total, part, flags=ORDER_FREE)

    def multiply_subtract(self, total: Any, left: Any, right: Any) -> Any:
        part = self.builder.fmul(left, right, flags=ORDER_FREE)
        return self.builder.fsub(total, part, flags=ORDER_FREE)

    def add_up(self, value: Any) -> Any:
        """The sum over lanes."""
        scalar = self.vector.element
        kind = ir.FunctionType(scalar, [scalar, self.vector])
        name = f"llvm.vector.reduce.fadd.v{self.lanes}f{8 * self.size}"
        function = cgutils.get_or_insert_function(self.builder.module, kind, name)
        nothing = ir.Constant(scalar, -0.0)
        return self.builder.call(function, [nothing, value], fastmath=ORDER_FREE)

    def below(self, limit: Any) -> Any:
        """Which lanes have an index below the limit."""
        kind = ir.VectorType(INDEX, self.lanes)
        lane = ir.Constant(kind, list(range(self.lanes)))
        return self.builder.icmp_unsigned("<", lane, self.spread(limit, kind))


def registers(context: Any, builder: Any, array: Any, width: int) -> Registers:
    """For the numbers of an array type, in registers of so many bytes."""
    size = array.dtype.bitwidth // 8
    lanes = width // size
    vector = ir.VectorType(context.get_value_type(array.dtype), lanes)
    return Registers(builder=builder, vector=vector, lanes=lanes, size=size)


def data_of(context: Any, builder: Any, kind: Any, value: Any) -> Any:
    """The pointer to the first number of an array."""
    return context.make_array(kind)(context, builder, value).data


def fetch(builder: Any, pointer: Any) -> None:
    """Ask for the cache line of a number, which need not exist."""
    place = builder.bitcast(pointer, ir.IntType(8).as_pointer())
    kind = ir.FunctionType(ir.VoidType(), [place.type, SHORT, SHORT, SHORT])
    function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
    read, keep, data_cache = SHORT(0), SHORT(3), SHORT(1)
    builder.call(function, [place, read, keep, data_cache])
