"""Gaussian conditional random fields: quadratic energies, and solvers and samplers for them."""

from collections.abc import Iterable

from groundstate import Component, hookimpl
from groundstate_gcrf.energies.components import energies
from groundstate_gcrf.solver_records import direct_solvers, iterative_solvers, krylov_solvers


@hookimpl
def groundstate_components() -> Iterable[Component]:
    """What this plugin offers."""
    yield from energies()
    yield Component(
        kind="energy",
        name="grid-gcrf",
        target="groundstate_gcrf.grid:grid_gcrf",
        summary="smooth on a 4-neighbour pixel grid except across edges of an image; pixels pinned",
        source="Levin, Lischinski, Weiss: Colorization using Optimization (2004); "
        "Chandra, Kokkinos: Fast, Exact and Multi-Scale Inference with Deep Gaussian CRFs (2016)",
        gives=("Density", "Factored", "GridStencil", "Quadratic", "SparseMatrix"),
        examples="groundstate_gcrf.examples:grids",
    )
    yield Component(
        kind="solver",
        name="cg",
        target="groundstate_gcrf.conjugate_gradients:ConjugateGradients",
        summary="preconditioned conjugate gradients, each problem stopped by its own true residual",
        source="Hestenes, Stiefel: Methods of Conjugate Gradients for Solving Linear Systems "
        "(1952)",
        needs=("Quadratic",),
        claims=("batched", "bound", "residual", "unrolled-gradient"),
        examples="groundstate_gcrf.examples:conjugate_gradients",
    )
    yield from iterative_solvers()
    yield from krylov_solvers()
    yield from direct_solvers()
    yield Component(
        kind="generator",
        name="perturb-and-map",
        target="groundstate_gcrf.perturb_and_map:PerturbAndMap",
        summary="exact samples of a Gaussian: perturb the linear term, then minimise",
        source="Papandreou, Yuille: Gaussian sampling by local perturbations (2010)",
        needs=("Quadratic", "Factored"),
        claims=("exact",),
        examples="groundstate_gcrf.examples:perturb_and_maps",
    )
