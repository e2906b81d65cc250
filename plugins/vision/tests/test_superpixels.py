from collections import Counter

import pytest
import torch

from groundstate_vision.photos import load_photo
from groundstate_vision.superpixels import SuperpixelGraph, region_graph, region_mean, superpixels


@pytest.fixture(scope="module")
def image() -> torch.Tensor:
    return load_photo("coffee", 60).pixels


def edge_list(graph: SuperpixelGraph) -> list[tuple[int, int]]:
    return [(int(low), int(high)) for low, high in graph.edge_index.T]


def test_boundary_lengths_by_brute_force(image: torch.Tensor):
    graph = superpixels(image, segments=30)
    regions = graph.regions.numpy()
    height, width = graph.regions.shape
    counted: Counter[tuple[int, int]] = Counter()
    for row in range(height):
        for column in range(width):
            for other_row, other_column in ((row + 1, column), (row, column + 1)):
                if other_row < height and other_column < width:
                    here, there = regions[row, column], regions[other_row, other_column]
                    pair = (int(min(here, there)), int(max(here, there)))
                    counted[pair] += int(here != there)
    expected = {pair: count for pair, count in counted.items() if count}
    assert edge_list(graph) == sorted(expected)
    assert graph.boundaries.tolist() == [expected[edge] for edge in sorted(expected)]


def test_edges_are_unique_ordered_and_the_graph_is_connected(image: torch.Tensor):
    graph = superpixels(image, segments=30)
    nodes = len(graph.sizes)
    low, high = graph.edge_index
    assert bool((low < high).all())
    assert len(set(edge_list(graph))) == graph.edge_index.shape[1]
    reached = torch.zeros(nodes, dtype=torch.bool)
    reached[0] = True
    for _ in range(nodes):
        for a, b in edge_list(graph):
            reached[a] |= reached[b]
            reached[b] |= reached[a]
    assert bool(reached.all())


def test_regions_are_numbered_without_gaps_and_cover_the_photo(image: torch.Tensor):
    graph = superpixels(image, segments=30)
    assert graph.regions.shape == image.shape[:2]
    assert bool((graph.sizes > 0).all()) and int(graph.sizes.sum()) == graph.regions.numel()
    assert 15 <= len(graph.sizes) <= 45


def test_means_of_regions():
    regions = torch.tensor([[0, 0, 1], [0, 1, 1]])
    values = torch.arange(6.0, dtype=torch.float64).reshape(2, 3, 1)
    expected = torch.tensor([[4 / 3], [11 / 3]], dtype=torch.float64)
    torch.testing.assert_close(region_mean(regions, values), expected)
    graph = region_graph(regions, values.expand(2, 3, 3))
    assert graph.edge_index.tolist() == [[0], [1]]
    assert graph.boundaries.tolist() == [3]


def test_one_region_has_no_edges():
    graph = region_graph(torch.zeros(3, 4, dtype=torch.int64), torch.rand(3, 4, 3))
    assert graph.edge_index.shape == (2, 0)
    assert graph.boundaries.shape == (0,)
