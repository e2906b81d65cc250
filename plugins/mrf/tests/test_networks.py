"""networkx and PyTorch Geometric: there and back with the same energies."""

import sys

import networkx as nx
import pytest
import torch
from plugins.mrf.tests.random_groups import structured_problems
from plugins.mrf.tests.random_problems import every_labelling, random_problem

from groundstate.errors import ViewError
from groundstate_mrf.factor_graph import FactorGraphEnergy, cardinality, factor_graph
from groundstate_mrf.networks import from_networkx, from_pyg, to_networkx, to_pyg


def same(left: FactorGraphEnergy, right: FactorGraphEnergy) -> None:
    labels, values = every_labelling(left)
    assert left.counts.tolist() == right.counts.tolist()
    torch.testing.assert_close(right(labels), values, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_networkx_there_and_back(seed: int) -> None:
    problems = [random_problem(seed, infinite=0.2), *structured_problems(seed)]
    for energy in problems:
        network = to_networkx(energy)
        assert nx.is_bipartite(network)
        same(energy, from_networkx(network))


def test_networkx_nodes_say_what_they_are() -> None:
    table = torch.rand(2, 3, dtype=torch.float64)
    network = to_networkx(factor_graph([2, 3], [((0, 1), table)], constant=0.5))
    assert network.graph["constant"] == 0.5
    assert network.nodes[1] == {"bipartite": 0, "labels": 3}
    assert network.edges[1, ("factor", 0)]["place"] == 1
    assert network.nodes["factor", 0]["table"].tolist() == table.tolist()


def test_what_is_no_factor_graph_is_refused() -> None:
    with pytest.raises(ValueError, match="variables must be the nodes 0, 1"):
        from_networkx(nx.path_graph(3))
    network = to_networkx(factor_graph([2, 3], [((0, 1), torch.rand(2, 3))]))
    network.edges[1, ("factor", 0)]["place"] = 0
    with pytest.raises(ValueError, match="must have places"):
        from_networkx(network)
    counts = torch.full((40,), 2)
    wide = factor_graph(counts, [], cardinality(counts, [range(40)], [torch.rand(41)]))
    with pytest.raises(ViewError, match="joint labels"):
        to_networkx(wide)


def test_pyg_there_and_back() -> None:
    pytest.importorskip("torch_geometric", reason="torch_geometric is optional, not installed")
    energy = random_problem(2, order=2, same=3)
    data = to_pyg(energy)
    assert data.num_nodes == len(energy.counts)
    assert data.edge_attr.shape == (data.edge_index.shape[1], 9)
    same(energy, from_pyg(data))
    with pytest.raises(ViewError, match="equally many labels"):
        to_pyg(random_problem(1))


def test_a_missing_package_is_told_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch_geometric", None)
    monkeypatch.delitem(sys.modules, "torch_geometric.data", raising=False)
    with pytest.raises(ModuleNotFoundError, match=r"groundstate-mrf\[networks\]"):
        to_pyg(random_problem(2, order=2, same=3))
