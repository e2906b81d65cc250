"""Our solvers beside scipy, pyamg, linear_operator and lineax, where each can express the system.

Four systems on a real photo, float64, one thread: label scores with L×L blocks and with Potts terms
(41 x 41, 21 labels, 1e-6), dense embeddings as an operator (the same size, D = 128, 1e-6), and a
contrast grid with pinned patches (512 x 512, 1e-8). Peers get what serves them best: the assembled
matrix in CSR (scipy, pyamg, linear_operator), slices under `jit` (lineax; its blocks by `einsum`),
the two products with the embeddings (all). Setting up and compiling are not timed, but pyamg's
hierarchy is, with the solve and apart.

    pip install -c constraints.txt -r benchmarks/requirements.txt
    python benchmarks/gcrf_peers.py [--quick] [--json [PATH]] [--fresh]

Everybody stops by a residual of their own; the true one, recomputed here, stands beside each time.
"""

# pyright: basic, reportMissingTypeStubs=false, reportMissingImports=false
# (the peers have no types, and may be absent)

import importlib.util
import os
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from gcrf_systems import label_system, photo
from measuring import (
    Answer,
    Row,
    begin,
    machine,
    milliseconds,
    publish,
    relative_residual,
    table,
    take_turns,
    times,
)
from photo_systems import photo_system
from scipy.sparse import csr_array
from scipy.sparse.linalg import LinearOperator, cg

import groundstate as gs
from groundstate.energy import Energy, view
from groundstate.solving import solve
from groundstate_gcrf.energies.low_rank import low_rank_gcrf
from groundstate_gcrf.structure import GridStencil

LABELS, RANK, LIMIT = 21, 128, 20_000
Methods = dict[str, Callable[[], Answer]]
Product = Callable[[np.ndarray], np.ndarray]


def ours(energy: Energy, names: dict[str, dict[str, Any]]) -> Methods:
    """Some of our solvers, through the core's loop."""
    registry = gs.load()

    def run(solver: Any) -> Answer:
        solution = solve(energy, solver)
        count = solution.stats.get("iterations")
        return Answer(
            x=solution.x.reshape(-1).numpy(),
            iterations=None if count is None else int(count),
            note=str(solution.stats.get("solver", "")),
        )

    methods: Methods = {}
    for label, settings in names.items():
        key = label.split(",")[0]
        try:
            solver = registry.build(f"solver/{key}", **settings)
        except (ValueError, TypeError, gs.ConfigurationError):
            continue  # a preconditioner that this version has not got
        methods[f"groundstate {label}"] = lambda solver=solver: run(solver)
    return methods


def counted(solve_with: Callable[[Callable[[Any], None]], np.ndarray]) -> Answer:
    """Run a solver that takes a callback, and count its calls."""
    count = [0]

    def tick(_: Any) -> None:
        count[0] += 1

    return Answer(x=solve_with(tick), iterations=count[0])


def scipys(matrix: Any, right: np.ndarray, tolerance: float) -> Methods:
    """Plain, and with the diagonal where there is one to divide by."""

    def run(preconditioner: Any) -> Answer:
        return counted(
            lambda tick: cg(
                matrix, right, rtol=tolerance, maxiter=LIMIT, M=preconditioner, callback=tick
            )[0]
        )

    methods: Methods = {"scipy cg": lambda: run(None)}
    if isinstance(matrix, csr_array) and np.ptp(matrix.diagonal()) > 0:
        inverse = 1 / np.asarray(matrix.diagonal(), dtype=np.float64)
        jacobi: Any = LinearOperator(matrix.shape, matvec=lambda r: inverse * r, dtype=right.dtype)  # pyright: ignore
        methods["scipy cg, jacobi"] = lambda: run(jacobi)
    return methods


def pyamgs(matrix: Any, right: np.ndarray, tolerance: float, hierarchy: bool) -> Methods:
    """Its own `cg`, and with a hierarchy of grids before it."""
    if importlib.util.find_spec("pyamg") is None:
        return {}
    import pyamg
    from scipy.sparse import csr_matrix

    given = csr_matrix(matrix) if isinstance(matrix, csr_array) else matrix
    if not hierarchy:
        return {
            "pyamg cg": lambda: counted(
                lambda tick: pyamg.krylov.cg(
                    given, right, tol=tolerance, maxiter=LIMIT, callback=tick
                )[0]
            )
        }

    def run(levels: Any) -> Answer:
        residuals: list[float] = []
        x = levels.solve(right, tol=tolerance, accel="cg", maxiter=LIMIT, residuals=residuals)
        return Answer(x=x, iterations=len(residuals) - 1)

    ready = pyamg.ruge_stuben_solver(given)
    return {
        "pyamg ruge-stuben + cg": lambda: run(pyamg.ruge_stuben_solver(given)),
        "pyamg ruge-stuben + cg, hierarchy given": lambda: run(ready),
        "pyamg smoothed aggregation + cg": lambda: run(pyamg.smoothed_aggregation_solver(given)),
    }


def linear_operators(
    times_columns: Callable[[torch.Tensor], torch.Tensor], right: np.ndarray, tolerance: float
) -> Methods:
    """`linear_cg`, with an `eps` that does not stop it early."""
    if importlib.util.find_spec("linear_operator") is None:
        return {}
    from linear_operator.utils import linear_cg

    b = torch.from_numpy(right)[:, None]

    def run() -> Answer:
        count = [0]

        def product(vectors: torch.Tensor) -> torch.Tensor:
            count[0] += 1
            return times_columns(vectors)

        x = linear_cg(
            product,
            b,
            tolerance=tolerance,
            eps=1e-30,
            stop_updating_after=tolerance / 10,
            max_iter=4000,
            max_tridiag_iter=0,
        )
        return Answer(x=x[:, 0].numpy(), iterations=count[0] - 1)

    return {"linear_operator linear_cg": run}


def lineaxs(
    make: Callable[[Any], Callable[[Any], Any]], right: np.ndarray, tolerance: float
) -> Methods:
    """`CG` under `jit`, on the product that `make` builds from `jax.numpy`."""
    if importlib.util.find_spec("lineax") is None:
        return {}
    import jax
    import lineax

    jax.config.update("jax_enable_x64", True)
    product, b = make(jax.numpy), jax.numpy.asarray(right)
    # its tolerance is for each entry of b, and many are 0
    solver = lineax.CG(rtol=tolerance, atol=tolerance * float(np.abs(right).max()), max_steps=LIMIT)

    @jax.jit
    def run(b: Any) -> Any:
        operator = lineax.FunctionLinearOperator(
            product, jax.eval_shape(lambda: b), lineax.positive_semidefinite_tag
        )
        found = lineax.linear_solve(operator, b, solver, throw=False)
        return found.value, found.stats["num_steps"]

    def once() -> Answer:
        x, steps = run(b)
        return Answer(x=np.asarray(x), iterations=int(steps))

    return {"lineax CG": once}


def torch_csr(matrix: csr_array) -> torch.Tensor:
    return torch.sparse_csr_tensor(
        torch.from_numpy(matrix.indptr.astype(np.int64)),
        torch.from_numpy(matrix.indices.astype(np.int64)),
        torch.from_numpy(matrix.data),
        size=matrix.shape,
    )


def labels(kind: Any, size: tuple[int, int]) -> tuple[Methods, Product, np.ndarray]:
    """Label scores on a contrast grid; blocks or Potts."""
    tolerance = 1e-6
    system = label_system("cat", photo("cat", *size), labels=LABELS, kind=kind, factor=1.75)
    names: dict[str, dict[str, Any]] = {
        "cg": {"tolerance": tolerance, "preconditioner": "none"},
        "auto-quadratic": {"tolerance": tolerance},
    }
    matrix: Any = system.energy.matrix
    scale = float(matrix.scale)
    source = matrix.coupling.weights if kind == "Potts" else matrix.terms
    across, down = (each.numpy() for each in source)

    def make(jnp: Any) -> Callable[[Any], Any]:
        a, d = jnp.asarray(across), jnp.asarray(down)

        def potts(flat: Any) -> Any:
            x = flat.reshape(LABELS, *size)
            v = x.sum(0) - x
            q = scale * x
            q = q.at[:, :, :-1].add(a * v[:, :, 1:]).at[:, :, 1:].add(a * v[:, :, :-1])
            q = q.at[:, :-1].add(d * v[:, 1:]).at[:, 1:].add(d * v[:, :-1])
            return q.reshape(-1)

        def blocks(flat: Any) -> Any:
            x = jnp.moveaxis(flat.reshape(LABELS, *size), 0, -1)
            q = scale * x
            q = q.at[:, :-1].add(jnp.einsum("hwlm,hwm->hwl", a, x[:, 1:]))
            q = q.at[:, 1:].add(jnp.einsum("hwlm,hwl->hwm", a, x[:, :-1]))
            q = q.at[:-1].add(jnp.einsum("hwlm,hwm->hwl", d, x[1:]))
            q = q.at[1:].add(jnp.einsum("hwlm,hwl->hwm", d, x[:-1]))
            return jnp.moveaxis(q, -1, 0).reshape(-1)

        return potts if kind == "Potts" else blocks

    csr = torch_csr(system.matrix)
    methods = ours(system.energy, names)
    methods |= scipys(system.matrix, system.right, tolerance)
    methods |= pyamgs(system.matrix, system.right, tolerance, hierarchy=False)
    methods |= linear_operators(lambda v: csr @ v, system.right, tolerance)
    methods |= lineaxs(make, system.right, tolerance)
    return methods, system.times, system.right


def dense(size: tuple[int, int]) -> tuple[Methods, Product, np.ndarray]:
    """Embeddings per class, as an operator; condition number 38."""
    tolerance = 1e-6
    rng = torch.Generator().manual_seed(0)
    factor = torch.randn(RANK, LABELS, *size, generator=rng, dtype=torch.float64)
    factor *= (1 + torch.arange(RANK) / 8).rsqrt().reshape(-1, 1, 1, 1)
    flat = factor.flatten(1)
    largest = float(torch.linalg.eigvalsh(flat @ flat.mT)[-1])
    factor *= (37 / largest) ** 0.5
    unary = torch.randn(LABELS, *size, generator=rng, dtype=torch.float64)
    energy = low_rank_gcrf(unary=unary, embeddings=factor, diagonal=1.0)
    flat, right = factor.flatten(1), unary.reshape(-1).numpy()
    rows = flat.numpy()

    def product(x: np.ndarray) -> np.ndarray:
        return x.reshape(-1) + (rows @ x.reshape(-1)) @ rows

    def make(jnp: Any) -> Callable[[Any], Any]:
        f = jnp.asarray(rows)
        return lambda x: x + (f @ x) @ f

    n = len(right)
    operator: Any = LinearOperator((n, n), matvec=product, dtype=right.dtype)  # pyright: ignore
    names: dict[str, dict[str, Any]] = {
        "cg": {"tolerance": tolerance, "preconditioner": "none"},
        "auto-quadratic": {"tolerance": tolerance},
    }
    methods = ours(energy, names)
    methods |= scipys(operator, right, tolerance)
    methods |= pyamgs(operator, right, tolerance, hierarchy=False)
    methods |= linear_operators(lambda v: v + flat.mT @ (flat @ v), right, tolerance)
    methods |= lineaxs(make, right, tolerance)
    return methods, product, right


def grid(side: int) -> tuple[Methods, Product, np.ndarray]:
    """The contrast grid of colouring a photo from patches."""
    tolerance = 1e-8
    system = photo_system("coffee", right_hand_sides=1, side=side)
    stencil = view(system.energy, GridStencil)
    parts = [stencil.diagonal, stencil.right, stencil.down]
    diagonal, across, down = (each.reshape(each.shape[-2:]).numpy() for each in parts)
    right = system.right[0]

    def make(jnp: Any) -> Callable[[Any], Any]:
        own, a, d = (jnp.asarray(each) for each in (diagonal, across, down))

        def product(flat: Any) -> Any:
            x = flat.reshape(side, side)
            q = own * x
            q = q.at[:, :-1].add(-a * x[:, 1:]).at[:, 1:].add(-a * x[:, :-1])
            return q.at[:-1].add(-d * x[1:]).at[1:].add(-d * x[:-1]).reshape(-1)

        return product

    csr = torch_csr(system.matrix)
    names: dict[str, dict[str, Any]] = {
        "cg, jacobi": {"tolerance": tolerance, "preconditioner": "jacobi"},
        "cg, multigrid": {"tolerance": tolerance, "preconditioner": "multigrid"},
    }
    methods = ours(system.energy, names)
    methods |= scipys(system.matrix, right, tolerance)
    methods |= pyamgs(system.matrix, right, tolerance, hierarchy=True)
    methods |= linear_operators(lambda v: csr @ v, right, tolerance)
    methods |= lineaxs(make, right, tolerance)
    return methods, lambda x: system.matrix @ x, right


def measure(name: str, quick: bool) -> list[Row]:
    """Everybody on one system, by turns."""
    size = (21, 21) if quick else (41, 41)
    makers: dict[str, Callable[[], tuple[Methods, Product, np.ndarray]]] = {
        "blocks": lambda: labels("general", size),
        "Potts": lambda: labels("Potts", size),
        "embeddings": lambda: dense(size),
        "contrast grid": lambda: grid(128 if quick else 512),
    }
    methods, product, right = makers[name]()
    tolerance = 1e-8 if name == "contrast grid" else 1e-6
    found = take_turns(methods, 5, patience=20.0)
    best = min(
        timing.seconds
        for method, timing in found.items()
        if method.startswith("groundstate")
        and relative_residual(product, right, timing.answer.x) <= 1.01 * tolerance
    )
    rows: list[Row] = []
    for method, timing in found.items():
        true = relative_residual(product, right, timing.answer.x)
        rows.append(
            {
                "system": name,
                "unknowns": len(right),
                "method": method,
                "picked": timing.answer.note,
                "seconds": timing.seconds,
                "processor": timing.processor,
                "repeats": timing.repeats,
                "iterations": timing.answer.iterations,
                "residual": true,
                "ok": true <= 1.01 * tolerance,
                "of our best": timing.seconds / best,
            }
        )
    return rows


def main() -> None:
    arguments, memory = begin("gcrf_peers", __doc__)
    rows: list[Row] = []
    for name in ("blocks", "Potts", "embeddings", "contrast grid"):
        rows += memory.rows(name, lambda name=name: measure(name, arguments.quick))
    lines = [
        (
            row["system"],
            row["method"] + (f" ({row['picked']})" if row["picked"] else ""),
            milliseconds(row["seconds"]),
            "-" if row["iterations"] is None else row["iterations"],
            f"{row['residual']:.1e}" + ("" if row["ok"] else " (misses)"),
            times(row["of our best"]),
        )
        for row in rows
    ]
    headers = ("system", "method", "ms", "iterations", "true residual", "of our fastest")
    absent = [
        name
        for name in ("pyamg", "linear_operator", "lineax")
        if not importlib.util.find_spec(name)
    ]
    text = table(headers, lines)
    if absent:
        text += f"\n\nLeft out, not installed: {', '.join(absent)}."
    about = machine("linear-operator", "lineax", "jax", "pyamg")
    publish(arguments, {"machine": about, "rows": rows}, text)


if __name__ == "__main__":
    # before jax is imported: one thread for it, too
    os.environ.setdefault(
        "XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
    )
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    main()
