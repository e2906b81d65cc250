"""Other libraries on the problems of `benchmarks/map.py`; each is left out where it is missing."""

import importlib
import importlib.util
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
from map_problems import Grid, Machine


def installed(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


def module(name: str) -> Any:
    """A library without types."""
    return importlib.import_module(name)


def on_grid(grid: Grid) -> dict[str, Callable[[], np.ndarray]]:
    """Labels `[height, width]` by each peer."""
    found: dict[str, Callable[[], np.ndarray]] = {}
    if installed("maxflow"):
        found["PyMaxflow"] = lambda: _pymaxflow(grid)
    if installed("gco"):
        found["gco"] = lambda: _gco(grid)
    return found


def _pymaxflow(grid: Grid) -> np.ndarray:
    """Alpha-expansion; for two labels one minimum cut."""
    maxflow, fastmin = module("maxflow"), module("maxflow.fastmin")
    if grid.unary.shape[-1] > 2:
        return fastmin.aexpansion_grid(grid.unary, grid.price)
    graph = maxflow.GraphFloat()
    nodes = graph.add_grid_nodes(grid.unary.shape[:2])
    graph.add_grid_edges(nodes, float(grid.price[0, 1]))
    costs = grid.unary - grid.unary.min(-1, keepdims=True)
    graph.add_grid_tedges(nodes, costs[..., 1], costs[..., 0])
    graph.maxflow()
    return graph.get_grid_segments(nodes).astype(np.int64)


def _gco(grid: Grid) -> np.ndarray:
    """Alpha-expansion in whole numbers, as it takes them."""
    gco = module("gco")
    height, width, _ = grid.unary.shape
    across, down = np.ones((height, width - 1)), np.ones((height - 1, width))
    labels = gco.cut_grid_graph(
        grid.unary.astype(np.float64), grid.price.astype(np.float64), down, across, n_iter=-1
    )
    return labels.reshape(height, width).astype(np.int64)


def pgmax(machine: Machine, steps: int = 200) -> Callable[[], np.ndarray] | None:
    """Max-product of PGMax, damped by a half as in its own benchmark; compiled beforehand."""
    if not installed("pgmax"):
        return None
    jax, backend = module("jax"), module("jax.extend.backend")
    # PGMax 0.6.1 asks for the processor where jax no longer has it
    jax.lib.xla_bridge = SimpleNamespace(get_backend=backend.get_backend)
    fgraph, fgroup, infer, vgroup = (
        module(f"pgmax.{name}") for name in ("fgraph", "fgroup", "infer", "vgroup")
    )
    hidden, visible = machine.weights.shape
    h = vgroup.NDVarArray(num_states=2, shape=(hidden,))
    v = vgroup.NDVarArray(num_states=2, shape=(visible,))
    graph = fgraph.FactorGraph(variable_groups=[h, v])
    states = np.arange(2)[:, None]
    for group, biases in ((h, machine.hidden), (v, machine.visible)):
        graph.add_factors(
            fgroup.EnumFactorGroup(
                variables_for_factors=[[group[i]] for i in range(len(biases))],
                factor_configs=states,
                log_potentials=np.stack([np.zeros_like(biases), biases], 1),
            )
        )
    tables = np.zeros((hidden * visible, 2, 2))
    tables[:, 1, 1] = machine.weights.ravel()
    graph.add_factors(
        fgroup.PairwiseFactorGroup(
            variables_for_factors=[[h[i], v[j]] for i in range(hidden) for j in range(visible)],
            log_potential_matrix=tables,
        )
    )
    propagation = infer.build_inferer(graph.bp_state, backend="bp")

    def answer() -> np.ndarray:
        arrays = propagation.init()
        arrays = propagation.run(arrays, num_iters=steps, damping=0.5, temperature=0.0)
        decoded = infer.decode_map_states(propagation.get_beliefs(arrays))
        parts = [np.asarray(jax.device_get(decoded[group])) for group in (h, v)]
        return np.concatenate(parts).astype(np.int64)

    return answer
