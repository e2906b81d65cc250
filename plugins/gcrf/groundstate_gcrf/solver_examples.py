"""Small instances of the solvers beside conjugate gradients, for the laws of the test kit."""

from groundstate_gcrf.cholesky import Cholesky
from groundstate_gcrf.gauss_seidel import GaussSeidel
from groundstate_gcrf.gaussian_mean_field import GaussianMeanField
from groundstate_gcrf.jacobi import Jacobi


def choleskys() -> list[Cholesky]:
    """As it comes."""
    return [Cholesky()]


def jacobis() -> list[Jacobi]:
    """Short steps, so that there are several."""
    return [
        Jacobi(tolerance=1e-6, check_every=4),
    ]


def gauss_seidels() -> list[GaussSeidel]:
    """Over-relaxed."""
    return [
        GaussSeidel(tolerance=1e-6, check_every=4, relaxation=1.1),
    ]


def gaussian_mean_fields() -> list[GaussianMeanField]:
    """Both schedules."""
    return [
        GaussianMeanField(tolerance=1e-6, check_every=3),
        GaussianMeanField(tolerance=1e-6, check_every=4, schedule="parallel"),
    ]
