"""How a law says that it is broken: what was expected, what was got."""

import torch
from jaxtyping import Bool, Shaped
from torch import Tensor


class Broken(AssertionError):
    """A law does not hold."""


class Skip(Exception):
    """A law cannot be tried here; the text says why, and the skip is counted."""


def require(condition: object, message: str) -> None:
    """Raise `Broken` unless the condition holds; unlike `assert` it survives `python -O`."""
    if not bool(condition):
        raise Broken(message)


def tolerance(dtype: torch.dtype) -> float:
    """Relative difference that rounding may make in a short computation."""
    return 1e-8 if dtype == torch.float64 else 2e-4


def close(
    got: Shaped[Tensor, "..."],
    expected: Shaped[Tensor, "..."],
    what: str,
    *,
    relative: float | None = None,
    scale: float = 1.0,
) -> None:
    """Hold two tensors to be equal up to rounding; infinities must agree, NaN never does.

    Args:
        got: what the component says.
        expected: what must come out.
        what: the subject of the message.
        relative: largest difference relative to the values (and to `scale`); None goes by dtype.
        scale: size below which differences are measured against it and not against the values.
    """
    require(
        got.shape == expected.shape,
        f"{what} must have shape {tuple(expected.shape)}, got {tuple(got.shape)}",
    )
    if relative is None:
        lower = got if got.element_size() <= expected.element_size() else expected
        relative = tolerance(lower.dtype) if lower.is_floating_point() else 0.0
    left, right = got.detach().double().cpu(), expected.detach().double().cpu()
    allowed = relative * (scale + right.abs())
    wrong = ~((left == right) | ((left - right).abs() <= allowed))
    refuse(wrong, left, right, what)


def same(got: Shaped[Tensor, "..."], expected: Shaped[Tensor, "..."], what: str) -> None:
    """Hold two tensors to be equal bit by bit (NaN equals NaN)."""
    require(
        got.shape == expected.shape and got.dtype == expected.dtype,
        f"{what} must be {expected.dtype} of shape {tuple(expected.shape)}, "
        f"got {got.dtype} of shape {tuple(got.shape)}",
    )
    wrong = got != expected
    if got.is_floating_point():
        wrong = wrong & ~(got.isnan() & expected.isnan())
    refuse(wrong, got, expected, what)


def refuse(
    wrong: Bool[Tensor, "..."],
    got: Shaped[Tensor, "..."],
    expected: Shaped[Tensor, "..."],
    what: str,
) -> None:
    """Raise `Broken` at the first True of `wrong`, with both values."""
    if not bool(wrong.any()):
        return
    where = tuple(int(each) for each in wrong.nonzero()[0])
    place = f" at {list(where)}" if where else ""
    count = f" ({int(wrong.sum())} of {wrong.numel()} differ)" if wrong.numel() > 1 else ""
    raise Broken(
        f"{what}: expected {_number(expected[where])}{place}, got {_number(got[where])}{count}"
    )


def _number(value: Shaped[Tensor, ""]) -> str:
    return f"{float(value):.10g}" if value.is_floating_point() else str(value.item())
