"""What holds for every energy, whatever structure it declares."""

import torch
from jaxtyping import Shaped
from torch import Tensor

from groundstate.certify import magnitude
from groundstate.energy import Energy
from groundstate.move import to
from groundstate.space import Discrete, Real
from groundstate.testing.laws.law import laws
from groundstate.testing.oracles import directional_difference
from groundstate.testing.saying import close, require, same
from groundstate.testing.trees import generator, snapshot, unchanged


def points(energy: Energy, *sample_shape: int, seed: int = 0) -> Shaped[Tensor, "..."]:
    """Configurations drawn from the space."""
    return energy.space.sample(generator(seed, energy.space.device), sample_shape)


def one_number_per_configuration(energy: Energy) -> None:
    """energy(x) has the shape sample + batch, and is a number: never NaN, never -inf."""
    x = points(energy, 4)
    value = energy(x)
    expected = (4, *energy.space.layout.batch_shape)
    require(
        tuple(value.shape) == expected,
        f"energy(x) for x of shape {tuple(x.shape)} must have shape {expected}, "
        f"got {tuple(value.shape)}",
    )
    require(
        value.is_floating_point(), f"an energy must be a floating-point number, got {value.dtype}"
    )
    bad = value.isnan() | (value == float("-inf"))
    require(not bool(bad.any()), "an energy must be a number above -inf; got NaN or -inf")


def sample_dimensions_broadcast(energy: Energy) -> None:
    """Any number of sample dimensions stand in front, none and an empty one included."""
    x = points(energy, 2, 3)
    value = energy(x)
    batch = energy.space.layout.batch_shape
    require(
        tuple(value.shape) == (2, 3, *batch),
        f"two sample dimensions (2, 3) must give shape {(2, 3, *batch)}, got {tuple(value.shape)}",
    )
    close(value[1, 2], energy(x[1, 2]), "the energy of one sample among (2, 3)")
    empty = energy(x[:, :0])
    require(
        tuple(empty.shape) == (2, 0, *batch),
        f"no samples must give shape {(2, 0, *batch)}, got {tuple(empty.shape)}",
    )


def batch_equals_loop(energy: Energy) -> None:
    """Samples together have the energies that they have one by one."""
    x = points(energy, 4)
    apart = torch.stack([energy(each) for each in x])
    close(energy(x), apart, "energies of 4 samples together, against one by one")


def problems_do_not_mix(energy: Energy) -> None:
    """The energy of a problem depends on its own configuration and no other."""
    layout = energy.space.layout
    x, other = points(energy), points(energy, seed=1)
    before, elsewhere = energy(x), energy(other)
    count = before.numel()
    for index in range(min(count, 4)):
        mask = torch.zeros(count, dtype=torch.bool, device=before.device)
        mask[index] = True
        mask = mask.reshape(layout.batch_shape)
        value = energy(torch.where(layout.expand(mask), other, x))
        expected = torch.where(mask, elsewhere, before)
        close(value, expected, f"energies after only the configuration of problem {index} changed")


def input_is_not_written_to(energy: Energy) -> None:
    """Evaluating changes neither the configuration nor the energy."""
    x = points(energy, 2)
    kept, inside = x.clone(), snapshot(energy)
    energy(x)
    same(x, kept, "x after energy(x)")
    unchanged(energy, inside, "the energy")


def same_input_same_value(energy: Energy) -> None:
    """Asked twice, it answers the same, bit by bit."""
    x = points(energy, 3)
    same(energy(x), energy(x), "the second answer for the same x")


def dtype_and_device_follow(energy: Energy) -> None:
    """Values are on the device of x, and of its dtype where x is real, also after a move."""
    moved = [energy]
    if isinstance(energy.space, Real):
        moved.append(to(energy, dtype=torch.float32))
    if torch.cuda.is_available():
        moved.append(to(energy, device="cuda"))
    for each in moved:
        x = points(each, 2)
        value = each(x)
        require(
            value.device == x.device, f"x is on {x.device}, but the energy came on {value.device}"
        )
        if isinstance(each.space, Real):
            require(
                value.dtype == x.dtype,
                f"for x of {x.dtype} the energy must be {x.dtype}, got {value.dtype}",
            )


def moves_to_float64(energy: Energy) -> None:
    """`groundstate.to(energy, dtype=torch.float64)` is the same energy, in float64."""
    double = to(energy, dtype=torch.float64)
    x = points(energy, 3)
    coarse = energy(x)
    fine = double(x.double() if x.is_floating_point() else x)
    require(
        fine.dtype == torch.float64,
        f"after a move to float64 the energy must come in float64, got {fine.dtype}",
    )
    if isinstance(double.space, Real):
        require(double.space.dtype == torch.float64, "the space must move with the energy")
    size = magnitude(energy, x, coarse).detach()
    finite = size[size.isfinite()]
    scale = 1 + (float(finite.detach().max()) if finite.numel() else 0.0)
    close(coarse, fine, "the energy, against itself in float64", relative=1e-4, scale=scale)


def gradient_equals_finite_differences(energy: Energy) -> None:
    """The gradient that autograd gives is the slope of the energy."""
    double = to(energy, dtype=torch.float64)
    x = points(double, seed=2).requires_grad_()
    value = double(x).sum()
    require(
        value.requires_grad,
        "energy(x) must be differentiable in x: it came without a graph (a `no_grad`, `detach`?)",
    )
    (slope,) = torch.autograd.grad(value, x)
    for seed in range(3):
        direction = torch.randn(x.shape, dtype=x.dtype, generator=generator(seed)).to(x.device)
        measured = directional_difference(lambda y: double(y).sum(), x.detach(), direction)
        close(
            (slope * direction).sum(),
            measured,
            "the slope of the energy by autograd, against finite differences",
            relative=1e-5,
            scale=1 + float(value.detach().abs()),
        )


def out_of_range_label_is_refused(energy: Energy) -> None:
    """A label that does not exist is an error, never an index: neither too high nor negative."""
    space = energy.space
    assert isinstance(space, Discrete)
    for label in ("counts", "-1"):
        x = points(energy)
        index = (0,) * x.dim()
        x[index] = space.counts.flatten()[0] if label == "counts" else -1
        try:
            value = energy(x)
        except ValueError:
            continue
        require(
            False,
            f"the label {int(x[index])} does not exist, and energy(x) must raise ValueError; it "
            f"gave {float(value.flatten()[0]):.6g}. Call `self.space.validate(x)` first",
        )


def views_are_made_as_declared(energy: Energy) -> None:
    """Each view it declares can be made, is of its type, and comes out the same again."""
    for kind, make in energy.views.items():
        view = make()
        require(
            isinstance(view, kind),
            f"the view {kind.__name__} is declared, but a {type(view).__name__} was made",
        )
        again = snapshot(make())
        for name, tensor in snapshot(view).items():
            same(again[name], tensor, f"{kind.__name__}.{name} made a second time")


def _has_batch(energy: Energy) -> bool:
    return bool(energy.space.layout.batch_shape)


def _is_real(energy: Energy) -> bool:
    return isinstance(energy.space, Real)


def _is_discrete(energy: Energy) -> bool:
    return isinstance(energy.space, Discrete) and energy.space.counts.numel() > 0


LAWS = (
    *laws(
        one_number_per_configuration,
        sample_dimensions_broadcast,
        batch_equals_loop,
        input_is_not_written_to,
        same_input_same_value,
        dtype_and_device_follow,
        moves_to_float64,
        views_are_made_as_declared,
    ),
    *laws(problems_do_not_mix, applies=_has_batch),
    *laws(gradient_equals_finite_differences, applies=_is_real),
    *laws(out_of_range_label_is_refused, applies=_is_discrete),
)
