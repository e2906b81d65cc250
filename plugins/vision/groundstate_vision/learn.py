"""The one door to scikit-learn and scikit-image, which ship without complete types."""

from typing import cast

import numpy as np
from numpy.typing import NDArray

MOST_SAMPLES = 20_000
"""More samples than this make no better mixture of a few Gaussians, only a slower one."""


def mixture_log_density(
    samples: NDArray[np.float64],
    points: NDArray[np.float64],
    *,
    components: int,
    variance: float,
    seed: int,
) -> NDArray[np.float64]:
    """The log density, in nats, at each point of a Gaussian mixture fitted to samples.

    Args:
        samples: One row per sample; at least one. Of very many, every n-th is used.
        points: One row per point.
        components: Gaussians, with full covariances; at most one per five samples, and one per
            distinct sample, is used.
        variance: Added to every covariance's diagonal.
        seed: Seed of the starting points.
    """
    from sklearn.mixture import GaussianMixture
    from threadpoolctl import threadpool_limits

    samples = samples[:: -(-len(samples) // MOST_SAMPLES)]
    distinct = len(np.unique(samples, axis=0))
    count = max(1, min(components, len(samples) // 5, distinct))
    mixture = GaussianMixture(count, reg_covar=variance, random_state=seed)
    # on matrices of 5 x 5 threads of a linear algebra library only wait for each other
    with threadpool_limits(1):
        # scikit-learn wants two samples; one twice is the same density
        mixture.fit(samples if len(samples) > 1 else np.repeat(samples, 2, axis=0))
        return cast(NDArray[np.float64], mixture.score_samples(points))


def slic_labels(image: NDArray[np.float64], segments: int, compactness: float) -> NDArray[np.int64]:
    """SLIC superpixels of an sRGB image in [0, 1], numbered from 0 without gaps."""
    from skimage.segmentation import slic  # pyright: ignore[reportUnknownVariableType]

    labels = cast(
        NDArray[np.int64],
        slic(image, n_segments=segments, compactness=compactness, start_label=0),
    )
    return np.unique(labels, return_inverse=True)[1].reshape(labels.shape).astype(np.int64)
