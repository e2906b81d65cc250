"""What holds for a factor graph and for each of its groups, against enumeration."""

import torch
from torch import Tensor

from groundstate.energy import Energy, view
from groundstate.factors import FactorGraph, MessageGroup
from groundstate.move import to
from groundstate.testing.laws.energy import points
from groundstate.testing.laws.enumerated import factors_of, graph_of, labels_of, lead_of, some
from groundstate.testing.laws.law import laws
from groundstate.testing.saying import close, require
from groundstate.testing.typed import distinct


def factor_graph_agrees_with_energy(energy: Energy) -> None:
    """C + Σ factors is E(x), and the graph's variables are those of the space."""
    double = to(energy, dtype=torch.float64)
    graph = view(double, FactorGraph)
    counts = getattr(energy.space, "counts", None)
    require(counts is not None, "a factor graph belongs to a discrete space")
    assert isinstance(counts, Tensor)
    require(
        graph.counts.tolist() == counts.flatten().tolist(),
        "the graph's label counts must be those of the space, flattened",
    )
    x = points(double, 4)
    labels = labels_of(double, 4)
    close(graph.energy(labels), double(x), "the sum of the factors, against E(x)")
    close(graph.energy(labels[0]), double(x[0]), "the sum of the factors of one labelling")


def slots_are_sorted_and_complete(energy: Energy) -> None:
    """Slots say which variables a factor depends on: no other variable matters to it."""
    graph = graph_of(energy)
    for group in graph.groups:
        name = type(group).__name__
        owners, slots = group.owners, group.slots
        require(owners.shape == slots.shape, f"{name}: owners and slots must have the same length")
        require(bool((owners.diff() >= 0).all()), f"{name}: owners must be sorted")
        if len(owners):
            require(
                int(owners.max()) < group.count, f"{name}: an owner must be below {group.count}"
            )
        labels, others = labels_of(energy, 1)[0], labels_of(energy, 1, seed=1)[0]
        before = group.energies(labels)
        require(
            before.shape[-1] == group.count,
            f"{name}: energies must end in {group.count} factors, got {tuple(before.shape)}",
        )
        for variable in some(len(graph.counts)):
            changed = labels.clone()
            changed[..., variable] = others[..., variable]
            touched = torch.zeros(group.count, dtype=torch.bool, device=owners.device)
            touched[owners[slots == variable]] = True
            close(
                group.energies(changed)[..., ~touched],
                before[..., ~touched],
                f"{name}: energies of the factors without variable {variable} after it changed",
            )


def moves_are_energy_differences(energy: Energy) -> None:
    """For each label of a variable: the sum of the factors that touch it, if it took the label."""
    graph = graph_of(energy)
    labels = labels_of(energy, 2)
    for group in graph.groups:
        name = type(group).__name__
        require("moves" in group.serves, f"{name}: every group must serve 'moves'")
        moves = group.moves(labels)
        expected = (2, *lead_of(energy), graph.entries)
        require(
            tuple(moves.shape) == expected,
            f"{name}: moves must have shape {expected} (all entries of the graph), "
            f"got {tuple(moves.shape)}",
        )
        for variable in some(len(graph.counts)):
            touching = distinct(group.owners[group.slots == variable])
            for label in range(int(graph.counts[variable])):
                changed = labels.clone()
                changed[..., variable] = label
                true = group.energies(changed)[..., touching].sum(-1)
                entry = int(graph.offsets[variable]) + label
                close(
                    moves[..., entry],
                    true,
                    f"{name}: moves for label {label} of variable {variable}, against the energies "
                    "of the factors that touch it",
                )


def minima_are_lower_bounds(energy: Energy) -> None:
    """No factor is ever below its minimum."""
    graph = graph_of(energy)
    for group in graph.groups:
        minima = group.minima()
        name = type(group).__name__
        require(
            minima.shape[-1:] == (group.count,),
            f"{name}: minima must end in {group.count} factors, got shape {tuple(minima.shape)}",
        )
        values = group.energies(labels_of(energy, 16))
        room = 1e-9 * (1 + values.abs())
        require(
            bool((values >= minima - room).all()),
            f"{name}: a labelling has a factor below its stated minimum by "
            f"{float((minima - values).detach().nan_to_num(-1.0).max()):.6g}",
        )
        for factor in factors_of(energy, graph, group):
            true = factor.energies.amin(-1)
            stated = minima[..., factor.index].cpu()
            excess = stated.expand_as(true) - true
            require(
                bool((stated <= true + 1e-9 * (1 + true.abs())).all()),
                f"{name}: the minimum of factor {factor.index} is stated too high by "
                f"{float(excess.detach().max()):.6g}",
            )


def touching_keeps_the_right_factors(energy: Energy) -> None:
    """`touching` keeps exactly the factors that have one of the variables, unchanged."""
    graph = graph_of(energy)
    labels = labels_of(energy, 2)
    for variables in ([0], list(range(0, len(graph.counts), 2)), []):
        mask = torch.zeros_like(graph.counts, dtype=torch.bool)
        mask[variables] = True
        for group in graph.groups:
            kept = group.touching(mask)
            expected = distinct(group.owners[mask[group.slots]])
            require(
                kept.count == len(expected),
                f"{type(group).__name__}: {len(expected)} factors touch the variables "
                f"{variables[:5]}, but {kept.count} were kept",
            )
            close(
                kept.energies(labels),
                group.energies(labels)[..., expected],
                f"{type(group).__name__}: energies of the factors kept",
            )


def shifted_factors_are_the_same_elsewhere(energy: Energy) -> None:
    """Behind 3 other variables with 7 entries, factors have the same energies and moves."""
    graph = graph_of(energy)
    labels = labels_of(energy, 2)
    lead = labels.shape[:-1]
    padded = torch.cat([labels.new_zeros(*lead, 3), labels, labels.new_zeros(*lead, 1)], -1)
    total = 7 + graph.entries + 2
    for group in graph.groups:
        name = type(group).__name__
        moved = group.shifted(variables=3, entries=7, total=total)
        close(moved.energies(padded), group.energies(labels), f"{name}: energies after a shift")
        close(moved.slots, group.slots + 3, f"{name}: slots after a shift by 3 variables")
        moves = moved.moves(padded)
        require(
            moves.shape[-1] == total,
            f"{name}: moves after a shift must have {total} entries, got {moves.shape[-1]}",
        )
        close(moves[..., 7:-2], group.moves(labels), f"{name}: moves after a shift by 7 entries")
        require(
            bool((moves[..., :7] == 0).all() and (moves[..., -2:] == 0).all()),
            f"{name}: after a shift, other variables' entries must be 0",
        )
        if isinstance(group, MessageGroup) and "messages" in group.serves:
            assert isinstance(moved, MessageGroup)
            close(moved.entries, group.entries + 7, f"{name}: entries after a shift by 7")


def independent_minimum_is_a_bound(energy: Energy) -> None:
    """`FactorGraph.bound` lies below the energy of every labelling tried."""
    double = to(energy, dtype=torch.float64)
    bound = view(double, FactorGraph).bound()
    lowest = double(points(double, 64)).amin(0)
    require(
        bool((bound <= lowest + 1e-9 * (1 + lowest.abs())).all()),
        f"the independent-minimum bound {bound.tolist()} exceeds an energy {lowest.tolist()}",
    )


LAWS = laws(
    factor_graph_agrees_with_energy,
    slots_are_sorted_and_complete,
    moves_are_energy_differences,
    minima_are_lower_bounds,
    touching_keeps_the_right_factors,
    shifted_factors_are_the_same_elsewhere,
    independent_minimum_is_a_bound,
    applies=lambda energy: FactorGraph in energy.views,
)
