"""Small instances of the solvers beside conjugate gradients, for the laws of the test kit."""

from groundstate_gcrf.auto_quadratic import AutoQuadratic
from groundstate_gcrf.cholesky import Cholesky
from groundstate_gcrf.gauss_seidel import GaussSeidel
from groundstate_gcrf.gaussian_mean_field import GaussianMeanField
from groundstate_gcrf.gmres import Gmres
from groundstate_gcrf.jacobi import Jacobi
from groundstate_gcrf.potts_split import PottsSplit
from groundstate_gcrf.sparse_direct import SparseDirect
from groundstate_gcrf.video_direct import VideoDirect
from groundstate_gcrf.woodbury import Woodbury


def choleskys() -> list[Cholesky]:
    """As it comes."""
    return [Cholesky()]


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


def sparse_directs() -> list[SparseDirect]:
    """As it comes."""
    return [SparseDirect()]


def woodburies() -> list[Woodbury]:
    """As it comes."""
    return [Woodbury()]


def potts_splits() -> list[PottsSplit]:
    """As it comes."""
    return [PottsSplit()]


def gmres() -> list[Gmres]:
    """Short cycles, so that there are several."""
    return [Gmres(tolerance=1e-7, restart=6)]


def video_directs() -> list[VideoDirect]:
    """As it comes."""
    return [VideoDirect()]


def auto_quadratics() -> list[AutoQuadratic]:
    """As it comes."""
    return [AutoQuadratic()]
