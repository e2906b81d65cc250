"""What is made of tensors once, and again when one of them has been changed in place."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from torch import Tensor

T = TypeVar("T")


@dataclass
class Kept(Generic[T]):
    """Something made of tensors, and the versions of them that it was made of.

    An optimiser changes parameters in place, and each change raises the version.
    """

    versions: tuple[int, ...] = ()
    made: tuple[T, ...] = ()

    def get(self, tensors: Sequence[Tensor], make: Callable[[], T]) -> T:
        """What `make` gives for the tensors as they are; always the same ones."""
        # changes are not counted in inference mode: there tensors are taken as they first were
        versions = tuple(0 if each.is_inference() else each._version for each in tensors)
        if not self.made or versions != self.versions:
            self.made, self.versions = (make(),), versions
        return self.made[0]
