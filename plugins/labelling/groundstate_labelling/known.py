"""Which pixels have a label that counts, and whether every label is one of the model's."""

from jaxtyping import Bool, Int
from torch import Tensor


def labelled(labels: Int[Tensor, "..."], count: int, ignore: int) -> Bool[Tensor, "..."]:
    """Where the label is not `ignore`.

    Raises:
        ValueError: for a label that is neither a class nor `ignore`, or an `ignore` that is a class
            of its own and would silently never be learned or scored.
    """
    if 0 <= ignore < count:
        raise ValueError(
            f"`ignore` must be no class, so below 0 or at least {count} for {count} classes, got "
            f"{ignore}: no pixel of that class would ever count"
        )
    known = labels != ignore
    wrong = known & ((labels < 0) | (labels >= count))
    if bool(wrong.any()):
        raise ValueError(
            f"labels must lie in 0 ... {count - 1}, or be {ignore} where there is none, got "
            f"{int(labels[wrong][0])}; set the model's number of labels, or `ignore`"
        )
    return known
