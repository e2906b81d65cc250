"""The flow kernel against SciPy on whole numbers."""

from typing import Any, cast

import numpy as np
import pytest
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import maximum_flow  # pyright: ignore[reportUnknownVariableType]

from groundstate_moves.flow_kernel import SOURCE
from groundstate_moves.network import CutEnergy, network


def random_cut(seed: int, nodes: int, edges: int) -> CutEnergy:
    rng = np.random.default_rng(seed)
    ends = rng.integers(0, nodes, (edges, 2))
    ends = ends[ends[:, 0] != ends[:, 1]]
    return CutEnergy(
        network=network(nodes, ends),
        there=rng.integers(0, 9, len(ends)).astype(float),
        back=rng.integers(0, 9, len(ends)).astype(float),
        terminal=rng.integers(-20, 21, nodes).astype(float),
        constant=0.0,
    )


def oracle(cut: CutEnergy) -> float:
    """The least value of E(z), by SciPy's maximum flow."""
    nodes = cut.network.nodes
    a, b = cut.network.edges.T
    each = np.arange(nodes)
    tails = np.concatenate([a, b, np.full(nodes, nodes), each])
    heads = np.concatenate([b, a, each, np.full(nodes, nodes + 1)])
    values = [cut.there, cut.back, np.maximum(cut.terminal, 0), np.maximum(-cut.terminal, 0)]
    shape = (nodes + 2, nodes + 2)
    matrix = coo_matrix((np.concatenate(values).astype(np.int32), (tails, heads)), shape)
    flow = cast(Any, maximum_flow)(matrix.tocsr(), nodes, nodes + 1).flow_value
    return float(flow + np.minimum(cut.terminal, 0).sum())


def value(cut: CutEnergy, sides: np.ndarray) -> float:
    a, b = cut.network.edges.T
    crossing = cut.there * (sides[a] < sides[b]) + cut.back * (sides[a] > sides[b])
    return float(cut.terminal @ sides + crossing.sum())


@pytest.mark.parametrize("seed", range(40))
@pytest.mark.parametrize(("nodes", "edges"), [(6, 12), (60, 200), (500, 900), (40, 700)])
def test_maximum_flow_of_whole_numbers(seed: int, nodes: int, edges: int) -> None:
    cut = random_cut(seed, nodes, edges)
    flow, sides, finished = cut.improve(np.zeros(len(cut.there)), 1 << 62)
    assert finished
    assert value(cut, sides) == oracle(cut)
    assert cut.bound(flow) == pytest.approx(oracle(cut), abs=1e-9)
    assert cut.bound(flow) <= oracle(cut)


def test_bound_holds_for_any_flow() -> None:
    cut = random_cut(1, 30, 90)
    rng = np.random.default_rng(0)
    flow = cut.there - rng.random(len(cut.there)) * (cut.there + cut.back)
    assert cut.bound(flow) <= oracle(cut)


def test_minimum_is_the_smallest_source_side() -> None:
    # two nodes held together by nothing: what is free goes to the sink's side
    cut = CutEnergy(
        network=network(3, np.array([[0, 1]])),
        there=np.array([0.0]),
        back=np.array([0.0]),
        terminal=np.array([1.0, 0.0, -1.0]),
        constant=0.0,
    )
    _, sides, _ = cut.improve(np.zeros(1), 1 << 62)
    assert sides.tolist() == [0, 1, 1]
    assert SOURCE == 1
