"""Factors of many variables without tables, by the names they have in the field.

Each function gives a group, or groups, for `factor_graph`. Counts (band, parity, threshold,
detection) are cardinality factors, over variables with any number of labels: messages in
O(n log n), moves in O(1). Sources and errata (spec §1.2, §3.7): Tarlow, Givoni, Zemel: HOP-MAP
(2010); the count threshold is printed there as a sum of `y_i = l` without the indicator.
"""

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from groundstate_mrf.factor_graph import cardinality
from groundstate_mrf.groups.callables import CallableGroup
from groundstate_mrf.groups.cardinality import CardinalityGroup
from groundstate_mrf.groups.linear import LinearGroup
from groundstate_mrf.groups.patterns import PatternGroup
from groundstate_mrf.groups.scopes import Scopes
from groundstate_mrf.groups.slots import first_entries
from groundstate_mrf.groups.tables import TableGroup
from groundstate_mrf.typed import whole

_INFINITY = float("inf")
Cliques = Sequence[Sequence[int]]


def band(
    counts: Int[Tensor, " variables"],
    cliques: Cliques,
    bounds: Sequence[tuple[int, int]],
    *,
    label: int = 1,
    penalty: float = _INFINITY,
    dtype: torch.dtype = torch.float32,
) -> CardinalityGroup:
    """0 where at least a and at most b variables of a clique have the label, else the penalty.

    Args:
        counts: number of labels of each variable of the graph.
        cliques: the variables of each factor.
        bounds: a and b of each.
        label: the label that counts.
        penalty: in nats; infinite forbids.
        dtype: of the energies.
    """
    values: list[Tensor] = []
    for clique, (low, high) in zip(cliques, bounds, strict=True):
        place = torch.arange(len(clique) + 1, device=counts.device)
        outside = (place < low) | (place > high)
        values.append(torch.where(outside, penalty, 0.0).to(dtype))
    return cardinality(counts, cliques, values, label)


def parity(
    counts: Int[Tensor, " variables"],
    cliques: Cliques,
    *,
    odd: bool = False,
    label: int = 1,
    penalty: float = _INFINITY,
    dtype: torch.dtype = torch.float32,
) -> CardinalityGroup:
    """0 where an even (or odd) number of a clique's variables has the label, else the penalty."""
    values: list[Tensor] = []
    for clique in cliques:
        wrong = torch.arange(len(clique) + 1, device=counts.device) % 2 != int(odd)
        values.append(torch.where(wrong, penalty, 0.0).to(dtype))
    return cardinality(counts, cliques, values, label)


def count_threshold(
    counts: Int[Tensor, " variables"],
    cliques: Cliques,
    weights: Float[Tensor, "*batch cliques"],
    *,
    label: int | Sequence[int],
    share: float,
) -> CardinalityGroup:
    """λ·1[n < |I|/C], n variables of the clique I having the label; `share` is C.

    The second higher-order potential of the segmentation CRF of spec §3.7: a box that was detected
    is to be filled by its label at least by one part in C.

    Args:
        counts: number of labels of each variable of the graph.
        cliques: the variables I of each factor.
        weights: λ of each, in nats.
        label: the label that counts, for all or for each clique.
        share: C.
    """
    labels = _labels_of(cliques, label)
    values: list[Tensor] = []
    for number, clique in enumerate(cliques):
        place = torch.arange(len(clique) + 1, device=counts.device)
        values.append(torch.where(place * share < len(clique), weights[..., number, None], 0.0))
    return cardinality(counts, cliques, values, labels)


def detection(
    counts: Int[Tensor, " variables"],
    boxes: Cliques,
    weights: Float[Tensor, "*batch boxes"],
    *,
    label: int | Sequence[int],
) -> CardinalityGroup:
    """w·min(n, |I| - n), n variables of the box I having its label: a detection to follow or not.

    The first higher-order potential of spec §3.7, w = w_b c_b, minimised over its variable z_b:
    either no variable should have the label or all should. `detection_pairs` keeps z_b.
    """
    labels = _labels_of(boxes, label)
    values: list[Tensor] = []
    for number, box in enumerate(boxes):
        place = torch.arange(len(box) + 1, device=counts.device)
        values.append(weights[..., number, None] * torch.minimum(place, len(box) - place))
    return cardinality(counts, boxes, values, labels)


def detection_pairs(
    counts: Int[Tensor, " variables"],
    boxes: Cliques,
    weights: Float[Tensor, "*batch boxes"],
    *,
    label: int | Sequence[int],
) -> tuple[Int[Tensor, " more"], tuple[TableGroup, ...]]:
    """`detection` as pairs of a variable and z_b ∈ {0, 1}, one further variable for each box.

    w·1[y_i = l] where z_b = 0, the box is not followed, and w·1[y_i ≠ l] where it is. The least
    energy over z_b is that of `detection`.

    Returns:
        The label counts with a binary variable for each box at the end, and the pairs.
    """
    labels = _labels_of(boxes, label)
    more = torch.cat([counts, counts.new_full((len(boxes),), 2)])
    first, total = first_entries(more), int(more.sum())
    sizes = whole(counts)
    members: dict[int, list[tuple[int, int, int]]] = {}
    for number, box in enumerate(boxes):
        for variable, counted in zip(box, labels[number], strict=True):
            members.setdefault(sizes[variable], []).append((variable, number, counted))
    groups: list[TableGroup] = []
    for width, pairs in members.items():
        variable, box, counted = torch.tensor(pairs, device=counts.device).unbind(-1)
        scope = torch.stack([variable, box + len(counts)], -1)
        has = torch.arange(width, device=counts.device) == counted.unsqueeze(-1)
        weight = weights[..., box, None, None]
        tables = torch.where(torch.stack([has, ~has], -1), weight, 0.0)
        groups.append(TableGroup(scope=scope, first=first[scope], tables=tables, total=total))
    return more, tuple(groups)


def patterns(
    counts: Int[Tensor, " variables"],
    scope: Sequence[int],
    listed: Sequence[Sequence[int]],
    energies: Float[Tensor, "*batch patterns"],
    default: Float[Tensor, "*batch"] | float = 0.0,
) -> PatternGroup:
    """One factor: `energies[p]` where its variables have the labels `listed[p]`, else `default`."""
    rows = torch.tensor(list(map(list, listed)), dtype=torch.int64, device=counts.device)
    rest = torch.as_tensor(default, dtype=energies.dtype, device=energies.device)
    return PatternGroup(
        scopes=_scopes(counts, [scope]),
        factor=counts.new_zeros(len(listed)),
        patterns=rows.reshape(len(listed), len(scope)),
        energies_of=energies,
        default=rest.expand(energies.shape[:-1]).unsqueeze(-1),
    )


def linear(
    counts: Int[Tensor, " variables"],
    scope: Sequence[int],
    weights: Sequence[Sequence[int]],
    *,
    low: int | None = None,
    high: int | None = None,
    penalty: float = _INFINITY,
    slope: float = 0.0,
    dtype: torch.dtype = torch.float32,
) -> LinearGroup:
    """One factor of s = Σ weights[i][y_i]: 0 where low ≤ s ≤ high, else penalty + slope·excess.

    Args:
        counts: number of labels of each variable of the graph.
        scope: the variables.
        weights: the whole-number weight of each label of each of them; negative ones are fine.
        low: the least sum that is allowed; None for any.
        high: the largest.
        penalty: of a sum outside, in nats; infinite forbids.
        slope: further price of each unit outside, in nats.
        dtype: of the energies.
    """
    least = sum(map(min, weights))
    most = sum(map(max, weights))
    sums = torch.arange(least, most + 1, device=counts.device).to(torch.float64)
    below = torch.zeros_like(sums) if low is None else low - sums
    above = torch.zeros_like(sums) if high is None else sums - high
    excess = torch.maximum(below, above).clamp(min=0)
    price = torch.where(excess > 0, penalty + slope * excess, 0.0)
    return linear_values(counts, scope, weights, price.to(dtype))


def linear_values(
    counts: Int[Tensor, " variables"],
    scope: Sequence[int],
    weights: Sequence[Sequence[int]],
    values: Float[Tensor, "*batch sums"],
) -> LinearGroup:
    """One factor of s = Σ weights[i][y_i], with the energies of all sums from the least on."""
    scopes = _scopes(counts, [scope])
    if [len(each) for each in weights] != list(scopes.widths):
        raise ValueError(
            f"there must be a weight for each label of each variable, {scopes.widths} labels; got "
            f"{[len(each) for each in weights]}"
        )
    flat = [weight - min(each) for each in weights for weight in each]
    return LinearGroup(
        scopes=scopes,
        weights=torch.tensor([flat], device=counts.device),
        values=values.unsqueeze(-2),
    )


def callable_factors(
    counts: Int[Tensor, " variables"],
    scopes: Cliques,
    function: Callable[[Int[Tensor, "..."]], Float[Tensor, "..."]],
    *,
    lowest: float = -_INFINITY,
    dtype: torch.dtype = torch.float32,
) -> CallableGroup:
    """Factors of equally many variables with equal label counts, by one vectorised function."""
    lowest_energy = torch.tensor(lowest, dtype=dtype, device=counts.device)
    return CallableGroup(scopes=_scopes(counts, scopes), function=function, lowest=lowest_energy)


def _scopes(counts: Int[Tensor, " variables"], scopes: Cliques) -> Scopes:
    rows = torch.tensor([list(scope) for scope in scopes], device=counts.device)
    widths = counts[rows]
    if bool((widths != widths[0]).any()):
        raise ValueError("the variables of all factors of a group must have the same label counts")
    if any(len(set(scope)) != len(scope) for scope in scopes):
        raise ValueError("a factor's variables must all be different")
    return Scopes(
        variables=rows,
        first=first_entries(counts)[rows],
        widths=tuple(whole(widths[0])),
        total=int(counts.sum()),
    )


def _labels_of(cliques: Cliques, label: int | Sequence[int]) -> list[list[int]]:
    labels = [label] * len(cliques) if isinstance(label, int) else list(label)
    return [[each] * len(clique) for clique, each in zip(cliques, labels, strict=True)]
