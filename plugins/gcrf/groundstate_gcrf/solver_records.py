"""Records of the solvers that stand beside conjugate gradients; imports nothing heavy."""

from collections.abc import Iterable

from groundstate import Component


def iterative_solvers() -> Iterable[Component]:
    """Solvers that come closer with every step."""
    yield Component(
        kind="solver",
        name="jacobi",
        target="groundstate_gcrf.jacobi:Jacobi",
        summary="damped Jacobi: every variable at once, by its own equation",
        source="Saad: Iterative Methods for Sparse Linear Systems, 2nd edition (2003), section 4.1",
        needs=("Quadratic",),
        claims=("batched", "bound", "residual", "unrolled-gradient"),
        examples="groundstate_gcrf.solver_examples:jacobis",
    )
    yield Component(
        kind="solver",
        name="gauss-seidel",
        target="groundstate_gcrf.gauss_seidel:GaussSeidel",
        summary="red-black or by colours, with over-relaxation; converges wherever A is definite",
        source="Saad: Iterative Methods for Sparse Linear Systems, 2nd edition (2003), section 4.1",
        needs=("Quadratic", "SparseMatrix"),
        claims=("batched", "bound", "monotone", "residual", "unrolled-gradient"),
        examples="groundstate_gcrf.solver_examples:gauss_seidels",
    )
    yield Component(
        kind="solver",
        name="gaussian-mean-field",
        target="groundstate_gcrf.gaussian_mean_field:GaussianMeanField",
        summary="the nearest product of Gaussians: exact means, and a lower bound on log Z",
        source="Chandra, Kokkinos: Fast, Exact and Multi-Scale Inference with Deep Gaussian CRFs "
        "(2016), section 3.3",
        needs=("Quadratic", "SparseMatrix"),
        claims=("batched", "bound", "residual", "unrolled-gradient"),
        examples="groundstate_gcrf.solver_examples:gaussian_mean_fields",
    )


def krylov_solvers() -> Iterable[Component]:
    """Solvers that search the span of b, Ab, A²b, ..."""
    yield Component(
        kind="solver",
        name="potts-cg",
        target="groundstate_gcrf.potts_cg:PottsConjugateGradients",
        summary="labels coupled alike: conjugate gradients on their mean and on deviations",
        source="Chandra, Kokkinos: Fast, Exact and Multi-Scale Inference with Deep Gaussian CRFs "
        "(2016), section 3.2",
        needs=("Quadratic", "PottsStructure"),
        claims=("batched", "bound", "implicit-gradient", "residual"),
        examples="groundstate_gcrf.solver_examples:potts_cgs",
    )
    yield Component(
        kind="solver",
        name="gmres",
        target="groundstate_gcrf.gmres:Gmres",
        summary="the smallest residual over a Krylov space, restarted; per problem",
        source="Saad, Schultz: GMRES: a Generalized Minimal Residual Algorithm (1986)",
        needs=("Quadratic",),
        claims=("batched", "bound", "implicit-gradient", "residual"),
        examples="groundstate_gcrf.solver_examples:gmres",
    )


def direct_solvers() -> Iterable[Component]:
    """Solvers whose first step finishes."""
    yield Component(
        kind="solver",
        name="cholesky",
        target="groundstate_gcrf.cholesky:cholesky",
        summary="the dense matrix, factored once for all its right-hand sides",
        source="Golub, Van Loan: Matrix Computations, 4th edition (2013), section 4.2",
        needs=("Quadratic",),
        claims=("batched", "bound", "exact", "implicit-gradient", "residual"),
        examples="groundstate_gcrf.solver_examples:choleskys",
    )
    yield Component(
        kind="solver",
        name="sparse-direct",
        target="groundstate_gcrf.sparse_direct:sparse_direct",
        summary="the sparse matrix, factored by SuperLU with a fill-reducing order",
        source="Demmel, Eisenstat, Gilbert, Li, Liu: A Supernodal Approach to Sparse Partial "
        "Pivoting (1999)",
        needs=("Quadratic", "SparseMatrix"),
        claims=("batched", "bound", "exact", "implicit-gradient", "residual"),
        examples="groundstate_gcrf.solver_examples:sparse_directs",
    )
    yield Component(
        kind="solver",
        name="woodbury",
        target="groundstate_gcrf.woodbury:woodbury",
        summary="low rank plus a multiple of the identity, solved by a system of that rank",
        source="Woodbury: Inverting Modified Matrices (1950)",
        needs=("Quadratic", "LowRank"),
        claims=("batched", "bound", "implicit-gradient", "residual"),
        examples="groundstate_gcrf.solver_examples:woodburies",
    )
    yield Component(
        kind="solver",
        name="potts-split",
        target="groundstate_gcrf.potts_split:potts_split",
        summary="labels coupled alike: one decomposition, all labels as right-hand sides",
        source="Chandra, Kokkinos: Fast, Exact and Multi-Scale Inference with Deep Gaussian CRFs "
        "(2016), section 3.2",
        needs=("Quadratic", "PottsStructure"),
        claims=("batched", "bound", "implicit-gradient", "residual"),
        examples="groundstate_gcrf.solver_examples:potts_splits",
    )
    yield Component(
        kind="solver",
        name="video-direct",
        target="groundstate_gcrf.video_direct:video_direct",
        summary="frames coupled through embeddings, solved by one system of their ranks",
        source="Chandra, Couprie, Kokkinos: Deep Spatio-Temporal Random Fields for Efficient Video "
        "Segmentation (2018); Woodbury (1950)",
        needs=("Quadratic", "VideoStructure"),
        claims=("batched", "bound", "implicit-gradient", "residual"),
        examples="groundstate_gcrf.solver_examples:video_directs",
    )
    yield Component(
        kind="solver",
        name="auto-quadratic",
        target="groundstate_gcrf.auto_quadratic:AutoQuadratic",
        summary="looks at structure and size, picks a solver, and says which and why",
        source="groundstate",
        needs=("Quadratic",),
        claims=("batched", "bound", "exact", "implicit-gradient", "residual"),
        examples="groundstate_gcrf.solver_examples:auto_quadratics",
    )
