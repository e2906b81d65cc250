"""What holds for a critic of whole sets: the order of the set does not matter."""

import torch

from groundstate.energy import Energy, view
from groundstate.testing.laws.energy import points
from groundstate.testing.laws.law import laws
from groundstate.testing.saying import close, require
from groundstate.testing.trees import generator
from groundstate.views import SetCritic


def order_of_the_set_does_not_matter(energy: Energy) -> None:
    """Permuted rows give the same number, or the permuted numbers where there is one per row."""
    critic = view(energy, SetCritic)
    rows = points(energy, 5)
    order = torch.randperm(5, generator=generator(0))
    first, second = critic.criticise(rows), critic.criticise(rows[order])
    if critic.per_row:
        require(first.shape[-1:] == (5,), f"one number per row means 5, got {tuple(first.shape)}")
        first = first[..., order]
    close(second, first, "the criticism of the permuted set", relative=1e-5)


LAWS = laws(order_of_the_set_does_not_matter, applies=lambda energy: SetCritic in energy.views)
