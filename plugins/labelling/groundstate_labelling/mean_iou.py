"""`metric/mean-iou`: mean over classes of TP / (TP + FP + FN), counted over all images together."""

from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Ge
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from groundstate_labelling.known import labelled


@dataclass(frozen=True, kw_only=True)
class MeanIou:
    """How well a labelling covers each class.

    A class that neither the truth nor the labelling has does not count.

    Attributes:
        truth: labels, of the shape of a labelling; any number of images.
        classes: how many there are.
        ignore: the label of pixels that do not count; no class.
    """

    truth: Int[Tensor, "..."]
    classes: Annotated[int, Ge(1)] = 11
    ignore: int = 11

    @property
    def higher_is_better(self) -> bool:
        return True

    def __call__(self, x: Shaped[Tensor, "..."], /) -> Float[Tensor, "*batch"]:
        lead = x.shape[: x.dim() - self.truth.dim()]
        if tuple(x.shape[len(lead) :]) != tuple(self.truth.shape):
            raise ValueError(
                f"a labelling must have a shape that ends in {tuple(self.truth.shape)} as the "
                f"truth has, got {tuple(x.shape)}"
            )
        rows = x.reshape(-1, self.truth.numel())
        truth = self.truth.flatten().to(x.device)
        means = [mean_iou(confusion(row, truth, self.classes, self.ignore)) for row in rows]
        return torch.stack(means).reshape(lead)


def confusion(
    labels: Shaped[Tensor, "..."], truth: Int[Tensor, "..."], classes: int, ignore: int
) -> Int[Tensor, "classes classes"]:
    """How many pixels of each true class (rows) got each label (columns); counts add up.

    Raises:
        ValueError: for a label that is no class, where the truth is one.
    """
    known = labelled(truth, classes, ignore)
    found, wanted = labels[known].long(), truth[known].long()
    wrong = (found < 0) | (found >= classes)
    if bool(wrong.any()):
        raise ValueError(
            f"labels must lie in 0 ... {classes - 1} where the truth is not {ignore}, got "
            f"{int(found[wrong][0])}"
        )
    counts = torch.bincount(wanted * classes + found, minlength=classes**2)
    return counts.reshape(classes, classes)


def class_iou(counts: Int[Tensor, "classes classes"]) -> Float[Tensor, " classes"]:
    """Intersection over union of each class; NaN where it never occurs."""
    exact = counts.double()
    hit = exact.diagonal()
    return hit / (exact.sum(0) + exact.sum(1) - hit)


def mean_iou(counts: Int[Tensor, "classes classes"]) -> Float[Tensor, ""]:
    """Mean over the classes that occur; NaN if none does."""
    return class_iou(counts).nanmean()
