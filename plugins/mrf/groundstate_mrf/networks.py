"""Factor graphs as networkx graphs and as PyTorch Geometric data, and back.

networkx: the bipartite graph of variables and factors. Variables are the nodes 0, 1, ...; factors
the nodes ("factor", 0), ...; each factor has a table. Both packages are optional and imported when
asked for: `pip install groundstate-mrf[networks]`.
"""

from importlib import import_module
from typing import Any

import numpy as np
import torch

from groundstate.energy import Energy
from groundstate.errors import ViewError
from groundstate_mrf.factor_graph import FactorGraphEnergy, factor_graph
from groundstate_mrf.flat import flat_problems
from groundstate_mrf.groups.slots import first_entries
from groundstate_mrf.groups.tables import TableGroup
from groundstate_mrf.typed import whole
from groundstate_mrf.uai import list_factors, one_problem


def to_networkx(energy: Energy) -> Any:
    """The bipartite factor graph as a `networkx.Graph`.

    Variables have `bipartite=0` and their number of `labels`; factors `bipartite=1` and a `table`,
    a NumPy array in nats; an edge has the variable's `place` in the factor. The graph has a
    `constant`.

    Raises:
        ViewError: the energy has several problems, or a factor too wide for a table.
        ModuleNotFoundError: networkx is not installed.
    """
    graph = one_problem(energy, "a networkx graph")
    network = _required("networkx").Graph(constant=float(graph.constant))
    for variable, labels in enumerate(whole(graph.counts)):
        network.add_node(variable, bipartite=0, labels=labels)
    number = 0
    for group in graph.groups:
        for scope, table in list_factors(group, graph):
            network.add_node(("factor", number), bipartite=1, table=table.numpy())
            for place, variable in enumerate(scope):
                network.add_edge(variable, ("factor", number), place=place)
            number += 1
    return network


def from_networkx(network: Any) -> FactorGraphEnergy:
    """The energy of a graph as `to_networkx` describes it; other attributes are left alone.

    Variables must be the nodes 0, 1, ..., with `bipartite=0`; factors may have any names.

    Raises:
        ValueError: nodes or tables do not fit that description.
    """
    sides = dict(network.nodes(data="bipartite"))
    variables = [node for node, side in sides.items() if side == 0]
    factors = [node for node, side in sides.items() if side == 1]
    if set(variables) != set(range(len(variables))) or len(variables) + len(factors) < len(sides):
        raise ValueError(
            "variables must be the nodes 0, 1, ... with bipartite=0, and all others factors with "
            f"bipartite=1; got {len(variables)} variables and {len(factors)} factors among "
            f"{len(sides)} nodes"
        )
    listed: list[tuple[tuple[int, ...], torch.Tensor]] = []
    for node in factors:
        places = {network.edges[node, each]["place"]: each for each in network.adj[node]}
        if sorted(places) != list(range(len(network.adj[node]))):
            raise ValueError(f"the edges of factor {node!r} must have places 0, 1, ..., once each")
        scope = tuple(int(places[place]) for place in range(len(places)))
        table = np.asarray(network.nodes[node]["table"], dtype=np.float64)
        listed.append((scope, torch.from_numpy(table.copy())))
    counts = [int(network.nodes[each]["labels"]) for each in range(len(variables))]
    constant = float(network.graph.get("constant", 0.0))
    return factor_graph(counts, listed, constant=constant, dtype=torch.float64)


def to_pyg(energy: Energy) -> Any:
    """A pairwise problem as a `torch_geometric.data.Data`.

    `x` are the costs of the labels `[variables, labels]`, `edge_index` the two variables of each
    pair `[2, edges]`, in one direction, `edge_attr` its table, row by row, `[edges, labels²]`, all
    in nats; `constant` is the rest.

    Raises:
        ViewError: several problems, different label counts, or factors of more than two variables.
        ModuleNotFoundError: torch_geometric is not installed.
    """
    graph = one_problem(energy, "a PyG graph")
    if graph.width is None:
        raise ViewError("a PyG graph needs variables with equally many labels")
    labels, dtype = graph.width, graph.constant.dtype
    (flat,) = flat_problems(graph, ())
    cells = flat.starts[flat.table_of][:, None] + np.arange(labels * labels)
    tables = flat.tables[cells] if len(cells) else np.zeros((0, labels * labels))
    weights = flat.weights[:, None]
    tables = np.multiply(weights, tables, out=np.zeros_like(tables), where=tables != 0)
    return _required("torch_geometric.data").Data(
        x=torch.from_numpy(flat.costs.reshape(-1, labels).copy()).to(dtype),
        edge_index=torch.from_numpy(flat.edges.T.copy()),
        edge_attr=torch.from_numpy(tables).to(dtype),
        constant=torch.tensor(flat.constant, dtype=dtype),
    )


def from_pyg(data: Any) -> FactorGraphEnergy:
    """The energy of a graph as `to_pyg` describes it.

    Raises:
        ValueError: the shapes do not fit, or an edge joins a node with itself.
    """
    x, edges, tables = data.x, data.edge_index, data.edge_attr
    variables, labels = x.shape
    if tuple(tables.shape) != (edges.shape[1], labels * labels) or bool(
        (edges[0] == edges[1]).any()
    ):
        raise ValueError(
            f"edge_attr must be [edges, labels²] = {(edges.shape[1], labels * labels)} on edges "
            f"between different nodes, got {tuple(tables.shape)}"
        )
    counts = torch.full((variables,), labels, device=x.device)
    first, total = first_entries(counts), variables * labels
    nodes = torch.arange(variables, device=x.device).unsqueeze(-1)
    groups = [TableGroup(scope=nodes, first=first[nodes], tables=x, total=total)]
    if edges.shape[1]:
        scope = edges.T.contiguous()
        pairs = tables.reshape(-1, labels, labels)
        groups.append(TableGroup(scope=scope, first=first[scope], tables=pairs, total=total))
    constant = (
        torch.as_tensor(data.constant, dtype=x.dtype) if "constant" in data else x.new_zeros(())
    )
    return FactorGraphEnergy(counts=counts, groups=tuple(groups), constant=constant)


def _required(module: str) -> Any:
    """An optional package.

    Raises:
        ModuleNotFoundError: telling what to install.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        name = module.partition(".")[0]
        message = (
            f"{name} is needed for this and is not installed; run `pip install "
            "groundstate-mrf[networks]`"
        )
        raise ModuleNotFoundError(message, name=name) from error
