"""Small instances of the solvers beside conjugate gradients, for the laws of the test kit."""

from groundstate_gcrf.auto_quadratic import AutoQuadratic
from groundstate_gcrf.cholesky import cholesky
from groundstate_gcrf.direct import Direct
from groundstate_gcrf.gauss_seidel import GaussSeidel
from groundstate_gcrf.gaussian_mean_field import GaussianMeanField
from groundstate_gcrf.gmres import Gmres
from groundstate_gcrf.jacobi import Jacobi
from groundstate_gcrf.potts_cg import PottsConjugateGradients
from groundstate_gcrf.potts_split import potts_split
from groundstate_gcrf.sparse_direct import sparse_direct
from groundstate_gcrf.video_direct import video_direct
from groundstate_gcrf.woodbury import woodbury


def choleskys() -> list[Direct]:
    """As it comes."""
    return [cholesky()]


def jacobis() -> list[Jacobi]:
    """Short steps, so that there are several."""
    return [
        Jacobi(tolerance=1e-4, check_every=2),
    ]


def gauss_seidels() -> list[GaussSeidel]:
    """Over-relaxed."""
    return [
        GaussSeidel(tolerance=1e-4, check_every=2, relaxation=1.1),
    ]


def gaussian_mean_fields() -> list[GaussianMeanField]:
    """One after the other: all at once is Jacobi, which has its own."""
    return [GaussianMeanField(tolerance=1e-4, check_every=2)]


def sparse_directs() -> list[Direct]:
    """As it comes."""
    return [sparse_direct()]


def woodburies() -> list[Direct]:
    """As it comes."""
    return [woodbury()]


def potts_splits() -> list[Direct]:
    """As it comes."""
    return [potts_split()]


def potts_cgs() -> list[PottsConjugateGradients]:
    """Few iterations in a step, so that there are several."""
    return [PottsConjugateGradients(tolerance=1e-7, iterations=4)]


def gmres() -> list[Gmres]:
    """Short cycles, so that there are several."""
    return [Gmres(tolerance=1e-7, restart=6)]


def video_directs() -> list[Direct]:
    """As it comes."""
    return [video_direct()]


def auto_quadratics() -> list[AutoQuadratic]:
    """As it comes."""
    return [AutoQuadratic()]
