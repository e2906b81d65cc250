"""Samplers as generators."""

import pytest
import torch
from tests.toys import F64, Walk

import groundstate as gs
from groundstate.energy import FunctionEnergy
from groundstate.generator import Generator
from groundstate.space import Real

FREE = FunctionEnergy(
    function=lambda x: 0 * x.sum(-1), space=Real(event_shape=(2,), batch_shape=(3,), dtype=F64)
)


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_a_chain_gives_the_states_it_passes_through() -> None:
    every = gs.chain(FREE, Walk(), burn_in=0).sample(12, None, rng())
    assert every.shape == (12, 3, 2)
    thinned = gs.chain(FREE, Walk(), burn_in=2, thin=5).sample(2, None, rng())
    assert torch.equal(thinned, every[[6, 11]])


def test_the_generator_passed_decides() -> None:
    chain = gs.chain(FREE, Walk(), burn_in=1)
    assert torch.equal(chain.sample(2, None, rng(1)), chain.sample(2, None, rng(1)))
    assert not torch.equal(chain.sample(2, None, rng(1)), chain.sample(2, None, rng(2)))


def test_no_samples_have_the_right_shape() -> None:
    assert gs.chain(FREE, Walk()).sample(0, None, rng()).shape == (0, 3, 2)


def test_a_chain_is_a_generator_without_gradient_or_condition() -> None:
    chain = gs.chain(FREE, Walk())
    assert isinstance(chain, Generator)
    assert not chain.reparametrised
    with pytest.raises(ValueError, match="no condition"):
        chain.sample(1, torch.zeros(1), rng())


@pytest.mark.parametrize(("burn_in", "thin"), [(-1, 1), (0, 0)])
def test_impossible_chains_are_refused(burn_in: int, thin: int) -> None:
    with pytest.raises(ValueError, match=f"got {burn_in}, {thin}"):
        gs.chain(FREE, Walk(), burn_in=burn_in, thin=thin)
