"""Sparse energies on grids and graphs against matrices filled entry by entry."""

from dataclasses import replace
from itertools import product

import pytest
import torch
from plugins.gcrf.tests.crfs import dense, gradcheck, gradients, normal, per_offset
from torch import Tensor

from groundstate.energy import view
from groundstate.move import to
from groundstate.solution import SolveError
from groundstate.solving import solve
from groundstate.testing.oracles import solve_densely
from groundstate.testing.typed import eigenvalues
from groundstate.views import Quadratic, SparseMatrix
from groundstate_gcrf.conjugate_gradients import ConjugateGradients
from groundstate_gcrf.energies.graph import GraphMatrix
from groundstate_gcrf.energies.guard import Guard, NotPositiveDefinite, radius_bound
from groundstate_gcrf.energies.label_grid import (
    OFFSETS,
    GridCoupling,
    GridMatrix,
    flat_terms,
    grid_edges,
)
from groundstate_gcrf.energies.matrix import GaussianCrf
from groundstate_gcrf.energies.potts import PottsMatrix
from groundstate_gcrf.energies.sparse import (
    graph_gcrf,
    graph_gcrf_potts,
    grid_gcrf_general,
    grid_gcrf_potts,
)
from groundstate_gcrf.structure import PottsStructure

SIZES = [(1, 1), (1, 4), (4, 1), (2, 2), (3, 4)]
EDGES = torch.tensor([[0, 1, 3, 4, 0], [1, 2, 2, 0, 3]])


def filled(labels: int, pixels: int, scale: float) -> Tensor:
    return scale * torch.eye(labels * pixels, dtype=torch.float64)


@pytest.mark.parametrize("neighbours", [4, 8, 12])
@pytest.mark.parametrize("size", SIZES)
def test_general_terms_fill_both_triangles(size: tuple[int, int], neighbours: int) -> None:
    (height, width), labels = size, 2
    terms = per_offset(1, neighbours, height, width, labels, labels)
    unary = normal(0, labels, height, width)
    energy = grid_gcrf_general(unary=unary, terms=terms, diagonal=3.0, guard="report")
    expected = filled(labels, height * width, 3.0)
    for each, (dy, dx) in zip(terms, OFFSETS[neighbours], strict=True):
        for h, w, lo, m in product(range(height), range(width), range(labels), range(labels)):
            if h + dy < height and 0 <= w + dx < width:
                p = lo * height * width + h * width + w
                q = m * height * width + (h + dy) * width + w + dx
                value = each[h, w - max(-dx, 0), lo, m]
                expected[p, q] += value
                expected[q, p] += value
    torch.testing.assert_close(dense(energy), expected)
    x = normal(5, 3, *unary.shape)
    by_hand = 0.5 * torch.einsum("si,ij,sj->s", x.flatten(1), expected, x.flatten(1))
    by_hand = by_hand - (x * unary).flatten(1).sum(1)
    torch.testing.assert_close(energy(x), by_hand)


@pytest.mark.parametrize("neighbours", [4, 8, 12])
@pytest.mark.parametrize("size", SIZES)
def test_shared_weights_are_general_terms_without_a_diagonal(
    size: tuple[int, int], neighbours: int
) -> None:
    (height, width), labels = size, 3
    weights = per_offset(1, neighbours, height, width)
    unary = normal(0, labels, height, width)
    unequal = 1 - torch.eye(labels, dtype=torch.float64)
    terms = [each[..., None, None] * unequal for each in weights]
    shared = grid_gcrf_potts(unary=unary, weights=weights, diagonal=3.0, guard="report")
    general = grid_gcrf_general(unary=unary, terms=terms, diagonal=3.0, guard="report")
    torch.testing.assert_close(dense(shared), dense(general))


def test_graph_of_a_grid_is_the_grid() -> None:
    grid = GridMatrix(
        terms=tuple(per_offset(1, 8, 3, 4, 2, 2)),
        pixel_shape=(3, 4),
        scale=torch.tensor(5.0, dtype=torch.float64),
    )
    unary = normal(0, 2, 3, 4)
    graph = graph_gcrf(
        unary=unary.flatten(-2),
        edge_index=grid_edges((3, 4), 4, unary.device),
        terms=flat_terms(grid.terms, 2),
        diagonal=5.0,
    )
    torch.testing.assert_close(dense(graph), dense(GaussianCrf(matrix=grid, linear=unary)))


def test_graph_terms_and_their_direction() -> None:
    terms, labels = normal(1, 5, 2, 2), 2
    energy = graph_gcrf(unary=normal(0, labels, 5), edge_index=EDGES, terms=terms, diagonal=9.0)
    expected = filled(labels, 5, 9.0)
    for edge, (lo, m) in product(range(5), product(range(labels), repeat=2)):
        i, j = (int(each) for each in EDGES[:, edge])
        expected[lo * 5 + i, m * 5 + j] += terms[edge, lo, m]
        expected[m * 5 + j, lo * 5 + i] += terms[edge, lo, m]
    torch.testing.assert_close(dense(energy), expected)
    flipped = graph_gcrf(
        unary=energy.linear, edge_index=EDGES.flip(0), terms=terms.mT, diagonal=9.0
    )
    torch.testing.assert_close(dense(flipped), expected)


def test_shared_graph_weights_are_general_terms_without_a_diagonal() -> None:
    weights, unary = normal(1, 2, 5), normal(0, 2, 3, 5)
    unequal = 1 - torch.eye(3, dtype=torch.float64)
    shared = graph_gcrf_potts(unary=unary, edge_index=EDGES, weights=weights, diagonal=20.0)
    general = graph_gcrf(
        unary=unary,
        edge_index=EDGES,
        terms=weights[..., None, None] * unequal,
        diagonal=20.0,
    )
    torch.testing.assert_close(dense(shared), dense(general))


def test_discrete_costs_become_a_quadratic() -> None:
    # eq. 1.10-1.12: indicators of labels give unary costs plus pairwise costs
    costs, pair = normal(0, 2, 2), normal(1, 1, 2, 2)
    energy = graph_gcrf(
        unary=-costs,
        edge_index=torch.tensor([[0], [1]]),
        terms=pair,
        diagonal=1e-300,
        guard="report",
    )
    for first, second in product(range(2), repeat=2):
        x = torch.zeros(2, 2, dtype=torch.float64)
        x[first, 0] = x[second, 1] = 1
        expected = costs[first, 0] + costs[second, 1] + pair[0, first, second]
        torch.testing.assert_close(energy(x), expected)


def test_potts_structure_describes_the_matrix() -> None:
    energy = grid_gcrf_potts(unary=normal(0, 3, 3, 4), weights=per_offset(1, 8, 3, 4), diagonal=9.0)
    potts = view(energy, PottsStructure)
    assert potts.labels == 3 and potts.factor is None and potts.sparse is not None
    psi = potts.apply(torch.eye(12, dtype=torch.float64))
    sparse = potts.sparse()
    found = torch.zeros(12, 12, dtype=torch.float64)
    found[sparse.indices[0], sparse.indices[1]] = sparse.values
    torch.testing.assert_close(found, psi)
    unequal = 1 - torch.eye(3, dtype=torch.float64)
    expected = torch.kron(unequal, psi) + 9 * torch.eye(36, dtype=torch.float64)
    torch.testing.assert_close(dense(energy), expected)


def test_batched_parameters_equal_a_loop() -> None:
    unary, weights = normal(0, 2, 3, 3, 2, 4), [normal(1, 3, 2, 3), normal(2, 3, 1, 4)]
    terms = [normal(3, 3, 2, 3, 3, 3), normal(4, 3, 1, 4, 3, 3)]
    scale = torch.tensor([40.0, 50.0, 60.0], dtype=torch.float64)
    shared = grid_gcrf_potts(unary=unary, weights=weights, diagonal=scale)
    general = grid_gcrf_general(unary=unary, terms=terms, diagonal=scale)
    for i, j in product(range(2), range(3)):
        one = [each[j] for each in weights]
        alone = grid_gcrf_potts(unary=unary[i, j], weights=one, diagonal=scale[j])
        torch.testing.assert_close(dense(shared)[i, j], dense(alone))
        one = [each[j] for each in terms]
        alone = grid_gcrf_general(unary=unary[i, j], terms=one, diagonal=scale[j])
        torch.testing.assert_close(dense(general)[i, j], dense(alone))
        values = view(general, SparseMatrix).values[j]
        torch.testing.assert_close(values, view(alone, SparseMatrix).values)


class TestGradients:
    def test_general_edges_count_once(self) -> None:
        # da_e[l, m] = -(g_il x_jm + g_jm x_il); dλ = -g·x; db = g
        unary, terms = normal(0, 2, 5), normal(1, 5, 2, 2)
        scale = torch.tensor(9.0, dtype=torch.float64)

        def build(unary: Tensor, terms: Tensor, scale: Tensor) -> GaussianCrf:
            return graph_gcrf(unary=unary, edge_index=EDGES, terms=terms, diagonal=scale)

        x, g, (to_unary, to_terms, to_scale) = gradients(build, unary, terms, scale)
        i, j = EDGES
        expected = -torch.einsum("le,me->elm", g[:, i], x[:, j])
        expected = expected - torch.einsum("le,me->elm", x[:, i], g[:, j])
        torch.testing.assert_close(to_unary, g)
        torch.testing.assert_close(to_terms, expected)
        torch.testing.assert_close(to_scale, -(g * x).sum())

    def test_shared_weights_have_the_minus_sign(self) -> None:
        # eq. 2.21 with the minus that is missing in print
        unary, weights = normal(0, 3, 5), normal(1, 5)

        def build(unary: Tensor, weights: Tensor) -> GaussianCrf:
            return graph_gcrf_potts(unary=unary, edge_index=EDGES, weights=weights, diagonal=20.0)

        x, g, (_, found) = gradients(build, unary, weights)
        others, (i, j) = x.sum(0) - x, EDGES
        expected = -(g[:, i] * others[:, j] + g[:, j] * others[:, i]).sum(0)
        torch.testing.assert_close(found, expected)

    def test_grids_against_finite_differences(self) -> None:
        unary, scale = normal(0, 2, 2, 3), torch.tensor(6.0, dtype=torch.float64)
        weights, terms = per_offset(1, 8, 2, 3), per_offset(2, 8, 2, 3, 2, 2)

        def shared(unary: Tensor, scale: Tensor, *weights: Tensor) -> GaussianCrf:
            return grid_gcrf_potts(unary=unary, weights=weights, diagonal=scale)

        def general(unary: Tensor, scale: Tensor, *terms: Tensor) -> GaussianCrf:
            return grid_gcrf_general(unary=unary, terms=terms, diagonal=scale)

        assert gradcheck(shared, unary, scale, *weights)
        assert gradcheck(general, unary, scale, *terms)

    def test_rescaled_terms_against_finite_differences(self) -> None:
        unary, scale = normal(0, 2, 5), torch.tensor(0.5, dtype=torch.float64)

        def build(unary: Tensor, scale: Tensor, terms: Tensor) -> GaussianCrf:
            return graph_gcrf(
                unary=unary, edge_index=EDGES, terms=terms, diagonal=scale, guard="rescale"
            )

        assert gradcheck(build, unary, scale, normal(1, 5, 2, 2))


class TestDefiniteness:
    def indefinite(self, guard: Guard) -> GaussianCrf:
        """Two problems, of which the second is indefinite."""
        weights = torch.stack([0.1 * torch.ones(5), torch.ones(5)]).double()
        return graph_gcrf_potts(
            unary=normal(0, 2, 3, 5), edge_index=EDGES, weights=weights, diagonal=1.0, guard=guard
        )

    def test_what_is_proved_indefinite_is_refused_by_name(self) -> None:
        with pytest.raises(NotPositiveDefinite, match=r"in problem \(1,\) .*raise `diagonal`"):
            self.indefinite("check")

    def test_reported_by_the_solver_when_nothing_is_checked(self) -> None:
        energy = self.indefinite("report")
        assert view(energy, Quadratic).floor is None
        with pytest.raises(SolveError, match=r"(?i)indefinite"):
            solve(energy, ConjugateGradients(tolerance=1e-10))

    def test_rescaled_exactly_where_needed(self) -> None:
        energy = self.indefinite("rescale")
        loose = self.indefinite("report")
        torch.testing.assert_close(dense(energy)[0], dense(loose)[0])
        smallest = solve_densely(energy).spectrum[..., 0]
        floor = view(energy, Quadratic).floor
        assert floor is not None and bool((floor > 0).all() and (floor <= smallest).all())
        assert float(floor[1]) >= 0.04

    def test_labels_alone_need_no_rescaling(self) -> None:
        weights = 100 * torch.ones(5, dtype=torch.float64)
        energy = graph_gcrf_potts(
            unary=normal(0, 1, 5), edge_index=EDGES, weights=weights, diagonal=1.0
        )
        torch.testing.assert_close(dense(energy), torch.eye(5, dtype=torch.float64))

    def test_bound_is_tight_on_a_bipartite_grid(self) -> None:
        # eigenvalues come in ± pairs there, so the bound can reach the spectral radius
        weights = [each.abs() for each in per_offset(1, 4, 4, 5, size=1.0)]
        energy = grid_gcrf_potts(
            unary=normal(0, 2, 4, 5), weights=weights, diagonal=1.0, guard="report"
        )
        psi = view(energy, PottsStructure).apply(torch.eye(20, dtype=torch.float64))
        radius = float(eigenvalues(psi)[-1])
        assert isinstance(energy.matrix, PottsMatrix)
        assert isinstance(energy.matrix.coupling, GridCoupling)
        found = float(energy.matrix.coupling.radius())
        assert radius <= found <= 1.05 * radius

    def test_bound_certifies_whatever_the_number_of_iterations(self) -> None:
        matrix = normal(3, 6, 6).abs()
        matrix = matrix + matrix.mT
        radius = float(eigenvalues(matrix)[-1])
        layout = GaussianCrf(
            matrix=GridMatrix(
                terms=tuple(per_offset(0, 4, 2, 3, 1, 1)),
                pixel_shape=(2, 3),
                scale=torch.tensor(1.0, dtype=torch.float64),
            ),
            linear=normal(0, 1, 2, 3),
        ).space.layout
        for iterations in (1, 2, 5, 20):
            bound = radius_bound(
                lambda v: (v.flatten() @ matrix).reshape(1, 2, 3),
                torch.ones(1, 2, 3, dtype=torch.float64),
                layout,
                iterations=iterations,
            )
            assert float(bound) >= radius

    def test_parameters_changed_in_place_are_seen(self) -> None:
        weights = (0.1 * torch.ones(5, dtype=torch.float64)).requires_grad_(True)
        energy = graph_gcrf_potts(
            unary=normal(0, 3, 5), edge_index=EDGES, weights=weights, diagonal=1.0
        )
        assert view(energy, Quadratic).floor is not None
        with torch.no_grad():
            weights += 5
        assert view(energy, Quadratic).floor is None


class TestRefusals:
    def test_edges(self) -> None:
        unary, terms = normal(0, 2, 5), normal(1, 2, 2, 2)
        for edges, message in (
            ([[0, 1], [1, 0]], "0 - 1 twice"),
            ([[0, 2], [1, 2]], "a loop at node 2"),
            ([[0, 2], [1, 5]], r"nodes 0 \.\.\. 4"),
        ):
            with pytest.raises(ValueError, match=message):
                graph_gcrf(unary=unary, edge_index=torch.tensor(edges), terms=terms)

    def test_shapes(self) -> None:
        unary = normal(0, 2, 3, 4)
        with pytest.raises(ValueError, match="2, 4 or 6 of them"):
            grid_gcrf_potts(unary=unary, weights=per_offset(0, 8, 3, 4)[:3])
        with pytest.raises(ValueError, match=r"offset \(0, 1\) .* must end in \(3, 3\)"):
            grid_gcrf_potts(unary=unary, weights=per_offset(0, 4, 4, 3))
        with pytest.raises(ValueError, match="must have a shape that ends in"):
            grid_gcrf_general(unary=unary, terms=per_offset(0, 4, 3, 4, 3, 3))
        with pytest.raises(ValueError, match="batch dimensions must broadcast"):
            grid_gcrf_potts(
                unary=normal(0, 5, 2, 3, 4),
                weights=[each.expand(2, *each.shape) for each in per_offset(0, 4, 3, 4)],
            )

    def test_types_and_signs(self) -> None:
        unary, weights = normal(0, 2, 3, 4), per_offset(0, 4, 3, 4)
        with pytest.raises(TypeError, match=r"one floating-point type, got torch\.float32"):
            grid_gcrf_potts(unary=unary, weights=[each.float() for each in weights])
        with pytest.raises(ValueError, match="diagonal must be finite and above 0, got -1"):
            grid_gcrf_potts(unary=unary, weights=weights, diagonal=-1.0)


def test_float32_agrees_as_far_as_it_can() -> None:
    energy = grid_gcrf_potts(unary=normal(0, 2, 3, 4), weights=per_offset(0, 4, 3, 4))
    single = to(energy, dtype=torch.float32)
    x = normal(1, 2, 3, 4)
    assert single(x.float()).dtype == torch.float32
    torch.testing.assert_close(single(x.float()).double(), energy(x), rtol=1e-5, atol=1e-4)


def test_replacing_a_parameter_forgets_its_floor() -> None:
    energy = graph_gcrf_potts(
        unary=normal(0, 3, 5), edge_index=EDGES, weights=0.1 * normal(1, 5), diagonal=1.0
    )
    assert energy.quadratic.floor is not None
    assert isinstance(energy.matrix, PottsMatrix)
    matrix = replace(energy.matrix, scale=torch.tensor(1e-3, dtype=torch.float64))
    assert replace(energy, matrix=matrix).quadratic.floor is None


@pytest.mark.parametrize("batch", [(), (2,)])
def test_compiled_products_equal_those_in_torch(batch: tuple[int, ...]) -> None:
    terms = [normal(i, *batch, *shape, 3, 3) for i, shape in enumerate([(3, 3), (2, 4)])]
    grid = GridMatrix(
        terms=tuple(terms), pixel_shape=(3, 4), scale=torch.tensor(2.0, dtype=torch.float64)
    )
    graph = GraphMatrix(
        edge_index=grid_edges((3, 4), 2, grid.scale.device),
        terms=flat_terms(grid.terms, 2),
        scale=grid.scale,
        nodes=12,
    )
    x = normal(9, 4, 2, 3, 3, 4)
    for columns in (x, x.movedim(0, -1).contiguous().movedim(-1, 0)):
        compiled = grid.matvec(columns)
        carrying = columns.clone().requires_grad_(True)
        torch.testing.assert_close(compiled, grid.matvec(carrying).detach())
        torch.testing.assert_close(compiled.flatten(-2), graph.matvec(columns.flatten(-2)))
        product = graph.matvec(carrying.flatten(-2)).detach()
        torch.testing.assert_close(compiled.flatten(-2), product)
    single = x.float()
    found = to(grid, dtype=torch.float32).matvec(single)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), grid.matvec(x), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("neighbours", [4, 8, 12])
@pytest.mark.parametrize("size", [*SIZES, (70, 61)])
def test_grid_products_equal_those_in_torch(size: tuple[int, int], neighbours: int) -> None:
    # one larger than a band of pixels; right-hand sides, matrices and λ of different batches
    (height, width), labels = size, 3
    weights = per_offset(1, neighbours, height, width)
    weights[0] = torch.stack([weights[0], -weights[0]])
    terms = per_offset(2, neighbours, height, width, labels, labels)
    scale = torch.tensor([2.0, 3.0], dtype=torch.float64)
    coupling = GridCoupling(weights=tuple(weights), pixel_shape=size)
    matrices = (
        PottsMatrix(coupling=coupling, labels=labels, scale=scale),
        GridMatrix(terms=tuple(terms), pixel_shape=size, scale=scale),
    )
    for matrix in matrices:
        for sample in ((), (4,)):
            x = normal(3, *sample, 2, labels, height, width)
            compiled = matrix.matvec(x)
            in_torch = matrix.matvec(x.clone().requires_grad_(True))
            torch.testing.assert_close(compiled, in_torch.detach())
