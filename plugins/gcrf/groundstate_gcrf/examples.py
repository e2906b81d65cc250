"""Small instances of every component, in float64, for the laws of the test kit."""

import torch
from torch import Tensor

from groundstate.examples import GeneratorExample
from groundstate_gcrf.conjugate_gradients import ConjugateGradients
from groundstate_gcrf.grid import GridGcrf, grid_gcrf
from groundstate_gcrf.perturb_and_map import PerturbAndMap


def _picture(height: int, width: int, channels: int, seed: int) -> Tensor:
    """A step edge with noise on it."""
    rng = torch.Generator().manual_seed(seed)
    noise = torch.rand(height, width, channels, generator=rng, dtype=torch.float64)
    edge = (torch.arange(width) >= width // 2).double()[None, :, None]
    return edge + 0.2 * noise


def _hints(batch: tuple[int, ...], height: int, width: int, seed: int) -> tuple[Tensor, Tensor]:
    rng = torch.Generator().manual_seed(seed)
    pinned = torch.zeros(height, width, dtype=torch.bool)
    pinned[0, 0] = pinned[-1, -1] = True
    return pinned, torch.randn(*batch, height, width, generator=rng, dtype=torch.float64)


def grids() -> list[GridGcrf]:
    """One problem with a certified floor; two right-hand sides of one matrix; a batch of both."""
    pinned, values = _hints((), 3, 4, seed=1)
    single = grid_gcrf(
        image=_picture(3, 4, 3, seed=0), pinned=pinned, values=values, diagonal=0.25, strength=2.0
    )
    pinned, values = _hints((2,), 4, 3, seed=2)
    channels = grid_gcrf(
        image=_picture(4, 3, 1, seed=3), pinned=pinned, values=values, smoothness=3.0, contrast=0.4
    )
    _, values = _hints((3, 2), 3, 3, seed=4)
    pins = torch.eye(3, dtype=torch.float64).expand(3, 1, 3, 3) * torch.rand(
        3, 1, 3, 3, generator=torch.Generator().manual_seed(5), dtype=torch.float64
    )
    hints = grid_gcrf(
        image=_picture(3, 3, 1, seed=6), pinned=pins, values=values, strength=5.0, diagonal=0.1
    )
    return [single, channels, hints]


def conjugate_gradients() -> list[ConjugateGradients]:
    """Tight and loose, preconditioned for any matrix; short steps, so that there are several."""
    return [
        ConjugateGradients(tolerance=1e-12, check_every=4),
        ConjugateGradients(tolerance=1e-10, check_every=2, preconditioner="none"),
        ConjugateGradients(tolerance=1e-11, check_every=3, preconditioner="block-jacobi", block=2),
    ]


def perturb_and_maps() -> list[GeneratorExample]:
    """Samples of fields with a floor: without and with gradients, and few enough to integrate."""
    solver = ConjugateGradients(tolerance=1e-12)
    energy, small = grids()[0], _small()
    return [
        GeneratorExample(generator=PerturbAndMap(energy=energy, solver=solver), energy=energy),
        GeneratorExample(
            generator=PerturbAndMap(energy=energy, solver=solver, reparametrised=True),
            energy=energy,
        ),
        GeneratorExample(generator=PerturbAndMap(energy=small, solver=solver), energy=small),
    ]


def _small() -> GridGcrf:
    """Two rows of three pixels."""
    pinned, values = _hints((), 2, 3, seed=7)
    return grid_gcrf(image=_picture(2, 3, 1, seed=8), pinned=pinned, values=values, diagonal=0.5)
