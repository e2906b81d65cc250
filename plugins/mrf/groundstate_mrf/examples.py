"""Small instances of every component, in float64, for the conformance laws."""

from itertools import pairwise

import torch
from jaxtyping import Float, Int
from torch import Tensor

from groundstate.examples import LearnerExample, LossExample, ModelExample, ReaderExample
from groundstate.learning import Minibatches
from groundstate_mrf.brute_force import BruteForce
from groundstate_mrf.conditioning import Evidence
from groundstate_mrf.contrast_potts import ContrastPotts
from groundstate_mrf.discretise import Discretise
from groundstate_mrf.factor_graph import FactorGraphEnergy, cardinality, factor_graph, potts_edges
from groundstate_mrf.gradient import GradientLearner
from groundstate_mrf.icm import ICM
from groundstate_mrf.max_product import MaxProduct
from groundstate_mrf.mean_field import MeanField
from groundstate_mrf.npz import NPZReader
from groundstate_mrf.potts_grid import PottsGrid
from groundstate_mrf.pseudo_likelihood import PseudoLikelihood
from groundstate_mrf.relaxation import Relaxation
from groundstate_mrf.structured import band, detection, linear, patterns
from groundstate_mrf.truncated_linear import TruncatedLinear
from groundstate_mrf.uai import UAIReader
from groundstate_mrf.wcsp import WCSPReader

_INFINITY = float("inf")


def factor_graphs() -> list[FactorGraphEnergy]:
    """A mixed chain, order 3 with forbidden labels, counts and Potts, a batch, structured forms."""
    return [_chain(), _forbidding(), _counting(), _batch(), _structured()]


def contrast_potts() -> list[ContrastPotts]:
    """A small photo with three labels, and two of them in a batch."""
    rng = torch.Generator().manual_seed(3)
    unary, image = _normal(rng, 3, 4, 3), _normal(rng, 3, 4, 3)
    batch, images = _normal(rng, 2, 2, 3, 2), _normal(rng, 2, 2, 3, 1)
    return [
        ContrastPotts(unary=unary, image=image, smoothness=1.0),
        ContrastPotts(unary=batch, image=images, smoothness=0.5, contrast=2.0),
    ]


def truncated_linears() -> list[TruncatedLinear]:
    """A small photo with four labels, and two of them in a batch."""
    rng = torch.Generator().manual_seed(7)
    unary, image = _normal(rng, 3, 3, 4), _normal(rng, 3, 3, 3)
    batch, images = _normal(rng, 2, 2, 3, 3), _normal(rng, 2, 2, 3, 1)
    return [
        TruncatedLinear(unary=unary, image=image, smoothness=0.5, truncation=2.0),
        TruncatedLinear(unary=batch, image=images, truncation=1.5, contrast=2.0),
    ]


def brute_forces() -> list[BruteForce]:
    return [BruteForce(marginals=True)]


def icms() -> list[ICM]:
    return [ICM()]


def mean_fields() -> list[MeanField]:
    return [MeanField(), MeanField(schedule="parallel"), MeanField(temperature=4.0)]


def max_products() -> list[MaxProduct]:
    return [MaxProduct()]


def relaxations() -> list[Relaxation]:
    return [Relaxation(), Relaxation(curvature=1.0, floor=0.5)]


def discretisations() -> list[Discretise]:
    return [Discretise(levels=5, lower=-1.0, upper=1.0)]


def evidences() -> list[Evidence]:
    return [Evidence(), Evidence(variables=(0,), labels=(0,))]


def potts_grids() -> list[ModelExample]:
    return [
        ModelExample(model=_grid(2), batch={"data": _samples(2)}),
        ModelExample(model=_grid(3), batch={"data": _samples(3)}),
    ]


def pseudo_likelihoods() -> list[LossExample]:
    return [
        LossExample(loss=PseudoLikelihood(), model=_grid(labels), batch={"data": _samples(labels)})
        for labels in (2, 3)
    ]


def gradient_learners() -> list[LearnerExample]:
    source = Minibatches(tensors={"data": _samples(2)}, size=16)
    return [
        LearnerExample(
            learner=GradientLearner(loss=PseudoLikelihood(), optimiser=optimiser, clip=10.0),
            model=PottsGrid(height=3, width=3).double(),
            source=source,
        )
        for optimiser in ("adam", "sgd")
    ]


def uai_readers() -> list[ReaderExample]:
    return [ReaderExample(reader=UAIReader(), energy=each) for each in _single()]


def wcsp_readers() -> list[ReaderExample]:
    return [ReaderExample(reader=WCSPReader(), energy=each) for each in _single()]


def npz_readers() -> list[ReaderExample]:
    return [ReaderExample(reader=NPZReader(), energy=each) for each in factor_graphs()]


def _normal(rng: torch.Generator, *shape: int) -> Float[Tensor, "..."]:
    return torch.randn(shape, generator=rng, dtype=torch.float64)


def _single() -> list[FactorGraphEnergy]:
    """The examples that are one problem, as text formats need it."""
    return [each for each in factor_graphs() if not each.constant.dim()]


def _chain() -> FactorGraphEnergy:
    """A tree with 2, 3 and 4 labels."""
    rng = torch.Generator().manual_seed(0)
    counts = [2, 3, 4, 2]
    factors = [((each,), _normal(rng, count)) for each, count in enumerate(counts)]
    factors += [((i, j), _normal(rng, counts[i], counts[j])) for i, j in pairwise(range(4))]
    return factor_graph(counts, factors, constant=0.5)


def _forbidding() -> FactorGraphEnergy:
    """Order 3 and a cycle, with labels and combinations that are forbidden."""
    rng = torch.Generator().manual_seed(1)
    triple, pair = _normal(rng, 2, 3, 2), _normal(rng, 2, 2)
    triple[0, 1, :] = _INFINITY
    pair[1, 1] = _INFINITY
    single = torch.tensor([0.0, _INFINITY, 0.2], dtype=torch.float64)
    factors = [((0, 1, 2), triple), ((0, 2), pair), ((1,), single), ((2, 3), _normal(rng, 2, 2))]
    return factor_graph([2, 3, 2, 2], factors)


def _counting() -> FactorGraphEnergy:
    """Cardinality factors of sizes 4 and 2, one with a forbidden count, and Potts edges."""
    rng = torch.Generator().manual_seed(2)
    counts = torch.tensor([2, 2, 2, 2, 3, 3])
    values = [_normal(rng, 5), torch.tensor([0.3, _INFINITY, -0.1], dtype=torch.float64)]
    groups = [
        cardinality(counts, [[0, 1, 2, 3], [3, 1]], values),
        potts_edges(counts, torch.tensor([[4, 5]]), torch.tensor([0.7], dtype=torch.float64)),
        potts_edges(counts, torch.tensor([[0, 1], [1, 2]]), _normal(rng, 2)),
    ]
    factors = [((each,), _normal(rng, int(count))) for each, count in enumerate(counts)]
    return factor_graph(counts, [*factors, ((3, 4), _normal(rng, 2, 3))], *groups)


def _structured() -> FactorGraphEnergy:
    """A detection, an allowed band of a count, a sparse pattern and a budget, on 2 to 3 labels."""
    rng = torch.Generator().manual_seed(6)
    counts = torch.tensor([3, 2, 3, 2])
    weight = torch.tensor([0.6], dtype=torch.float64)
    energies = torch.tensor([-1.0, -0.4], dtype=torch.float64)
    budget = [[0, 1, 3], [0, 2], [2, 0, 1], [0, 1]]
    groups = [
        detection(counts, [[0, 2, 3]], weight, label=1),
        band(counts, [[0, 1, 2, 3]], [(1, 3)], label=0, dtype=torch.float64),
        patterns(counts, [0, 1, 2], [[0, 1, 2], [2, 0, 1]], energies, 0.1),
        linear(counts, [0, 1, 2, 3], budget, high=4, penalty=0.5, slope=0.2, dtype=torch.float64),
    ]
    factors = [((each,), _normal(rng, int(count))) for each, count in enumerate(counts)]
    return factor_graph(counts, factors, *groups)


def _batch() -> FactorGraphEnergy:
    """Three problems on one triangle."""
    rng = torch.Generator().manual_seed(4)
    counts = [2, 3, 2]
    factors = [((each,), _normal(rng, 3, count)) for each, count in enumerate(counts)]
    factors += [
        ((i, j), _normal(rng, 3, counts[i], counts[j])) for i, j in ((0, 1), (1, 2), (0, 2))
    ]
    return factor_graph(counts, factors, constant=_normal(rng, 3))


def _grid(labels: int) -> PottsGrid:
    rng = torch.Generator().manual_seed(labels)
    model = PottsGrid(height=3, width=3, labels=labels).double()
    for parameter in model.parameters():
        parameter.data = 0.5 * _normal(rng, *parameter.shape)
    return model


def _samples(labels: int) -> Int[Tensor, "rows 9"]:
    """Labellings in which neighbours tend to agree."""
    rng = torch.Generator().manual_seed(5)
    common = torch.randint(labels, (64, 1), generator=rng)
    own = torch.randint(labels, (64, 9), generator=rng)
    return torch.where(torch.rand(64, 9, generator=rng) < 0.6, common, own)
