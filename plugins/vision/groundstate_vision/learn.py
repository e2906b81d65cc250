"""The one door to scikit-learn and scikit-image, which ship without complete types."""

# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false

from typing import Protocol, cast

import numpy as np
from numpy.typing import NDArray


class Mixture(Protocol):
    """A fitted density of colours."""

    def score_samples(self, X: NDArray[np.float64]) -> NDArray[np.float64]:
        """Log density, in nats, of each row."""
        ...


def fit_mixture(
    samples: NDArray[np.float64], components: int, variance: float, seed: int
) -> Mixture:
    """Fits a Gaussian mixture with full covariances.

    Args:
        samples: One row per sample; at least one.
        components: Gaussians; at most one per five samples is used, and at least one.
        variance: Added to every covariance's diagonal.
        seed: Seed of the starting points.
    """
    from sklearn.mixture import GaussianMixture

    count = max(1, min(components, len(samples) // 5))
    mixture = GaussianMixture(count, reg_covar=variance, random_state=seed)
    # scikit-learn wants two samples; one twice is the same density.
    mixture.fit(samples if len(samples) > 1 else np.repeat(samples, 2, axis=0))
    return cast(Mixture, mixture)


def slic_labels(image: NDArray[np.float64], segments: int, compactness: float) -> NDArray[np.int64]:
    """SLIC superpixels of an sRGB image in [0, 1], numbered from 0 without gaps."""
    from skimage.segmentation import slic

    labels = cast(
        NDArray[np.int64],
        slic(image, n_segments=segments, compactness=compactness, start_label=0),
    )
    return np.unique(labels, return_inverse=True)[1].reshape(labels.shape).astype(np.int64)
