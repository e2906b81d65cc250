"""λx - m - Ψx on a run of pixels of several labels at once, in vector registers.

Written in LLVM's own terms, for its vectoriser gives up on loops that read from so many places. One
pass reads every neighbour of a pixel, and labels that are done together read each weight once.
"""

# llvmlite has no types
# pyright: basic, reportAttributeAccessIssue=false, reportMissingTypeStubs=false

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from groundstate_gcrf.registers import (
    INDEX,
    Registers,
    data_of,
    fetch,
    registers,
    widest,
)

LEAST = 16
"""Pixels that a run must have: what fits into the widest register."""
MOST = 7
"""Labels at once: their sums stay in registers, and 21 is a multiple of it."""


@dataclass(frozen=True, kw_only=True)
class _Run:
    """Pointers to product, x, minus and weights; the stride of the weights; then as in `_rows`."""

    arrays: list[Any]
    stride: Any
    shifts: list[Any]
    scale: Any
    base: Any
    pixels: Any
    origin: Any
    begin: Any
    end: Any
    ahead: Any


def _rows(labels: int) -> Callable[..., None]:
    """The function for so many labels.

    It takes `(product, x, minus, weights, shifts, scale, base, pixels, origin, begin, end, ahead)`:
    two flat fields; what is subtracted, of one label, and the weights `[offsets, some pixels]`,
    both from pixel `origin` on; how far on the neighbour of each offset is, as a tuple; λ; where
    the first label begins in the fields; and the pixels of a label. From `begin` to `end`, at least
    `LEAST` of them, every pixel must have all its neighbours. The numbers of x that come so far
    `ahead` are fetched into the cache meanwhile.
    """

    @intrinsic
    def rows(
        _: Any,
        product: Any,
        x: Any,
        minus: Any,
        weights: Any,
        shifts: Any,
        scale: Any,
        base: Any,
        pixels: Any,
        origin: Any,
        begin: Any,
        end: Any,
        ahead: Any,
    ) -> Any:
        def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            kinds = signature.args
            arrays = [
                data_of(context, builder, kind, value)
                for kind, value in zip(kinds[:4], values[:4], strict=True)
            ]
            table = context.make_array(kinds[3])(context, builder, values[3])
            stride = cgutils.unpack_tuple(builder, table.shape, 2)[1]
            offsets = cgutils.unpack_tuple(builder, values[4], kinds[4].count)
            names = ("scale", "base", "pixels", "origin", "begin", "end", "ahead")
            numbers = dict(zip(names, values[5:], strict=True))
            run = _Run(arrays=arrays, stride=stride, shifts=offsets, **numbers)
            _write(registers(context, builder, kinds[0], widest()), labels, run)
            return context.get_dummy_value()

        kinds = (product, x, minus, weights, shifts, scale, base, pixels, origin, begin, end, ahead)
        return types.void(*kinds), generate

    return rows


def _write(writer: Registers, labels: int, run: _Run) -> None:
    """The body: a loop over registers of pixels; the last one overlaps the one before."""
    builder, at = writer.builder, writer.at
    scale = writer.spread(run.scale, writer.vector)
    product, x, minus, weights = run.arrays
    # from here on all count from pixel 0
    minus, weights = (at(each, builder.neg(run.origin)) for each in (minus, weights))
    strengths = [at(weights, builder.mul(run.stride, INDEX(k))) for k in range(len(run.shifts))]
    places = [builder.add(run.base, builder.mul(run.pixels, INDEX(k))) for k in range(labels)]
    xs = [at(x, place) for place in places]
    products = [at(product, place) for place in places]
    last = builder.sub(run.end, INDEX(writer.lanes))
    step = INDEX(writer.lanes)
    with cgutils.for_range_slice(builder, run.begin, run.end, step, INDEX) as (first, _):
        here = builder.select(builder.icmp_signed("<", first, last), first, last)
        sums = [builder.fneg(writer.load(at(minus, here)))] * labels
        for label, own in enumerate(xs):
            fetch(builder, at(own, builder.add(here, run.ahead)))
            sums[label] = writer.multiply_add(sums[label], scale, writer.load(at(own, here)))
        for strength, shift in zip(strengths, run.shifts, strict=True):
            there, back = builder.add(here, shift), builder.sub(here, shift)
            for neighbour, pair in ((there, here), (back, back)):
                weight = writer.load(at(strength, pair))
                for label, own in enumerate(xs):
                    other = writer.load(at(own, neighbour))
                    sums[label] = writer.multiply_subtract(sums[label], weight, other)
        for total, target in zip(sums, products, strict=True):
            writer.store(total, at(target, here))


seven_labels, three_labels, one_label = (_rows(count) for count in (MOST, 3, 1))
