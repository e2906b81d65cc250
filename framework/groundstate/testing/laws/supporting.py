"""What holds for models, datasets and metrics."""

import torch
from jaxtyping import Shaped
from torch import Tensor

from groundstate.data import Dataset
from groundstate.energy import Energy
from groundstate.examples import MetricExample, ModelExample
from groundstate.generator import Generator
from groundstate.testing.laws.law import laws
from groundstate.testing.saying import close, require, same
from groundstate.testing.trees import equal, leaves, snapshot, unchanged
from groundstate.testing.typed import slopes


def makes_an_energy_or_a_generator(example: ModelExample) -> None:
    """The model gives one of the two."""
    made = example.model(example.batch)
    require(
        _is_any(made, Energy, Generator),
        f"a model must give an Energy or a Generator, got {type(made).__name__}",
    )


def inputs_are_not_written_to(example: ModelExample) -> None:
    """Batch and parameters are as they were after the call."""
    before = snapshot((dict(example.batch), example.model))
    example.model(example.batch)
    unchanged((dict(example.batch), example.model), before, "batch and model")


def energy_reaches_the_parameters(example: ModelExample) -> None:
    """Some parameter has a gradient that is not zero: the model can learn."""
    copied, parameters = leaves(example.model)
    require(len(parameters) > 0, "the model has no floating-point parameters")
    batch = {k: v.double() if v.is_floating_point() else v for k, v in example.batch.items()}
    made = copied(batch)
    if not isinstance(made, Energy):
        return
    value = made(made.space.sample(torch.Generator().manual_seed(0), (3,))).sum()
    require(value.requires_grad, "the energy must carry a graph to the model's parameters")
    found = slopes(value, parameters)
    reached = any(gradient is not None and bool((gradient != 0).any()) for gradient in found)
    require(reached, "no parameter has a gradient other than zero")


def _is_any(value: object, *kinds: type) -> bool:
    return isinstance(value, kinds)


def pictures_are_pictures(dataset: Dataset) -> None:
    """Pictures of the input are uint8 [height, width, 3], at least one, with titles."""
    pictures = dataset.pictures(dataset.load(), None)
    require(len(pictures) > 0, "there must be at least one picture of the input")
    for title, picture in pictures.items():
        require(
            picture.dtype == torch.uint8 and picture.dim() == 3 and picture.shape[-1] == 3,
            f"the picture {title!r} must be uint8 [height, width, 3], got {picture.dtype} "
            f"{list(picture.shape)}",
        )


def loads_the_same_twice(dataset: Dataset) -> None:
    """Loading again gives the same outputs, bit by bit."""
    equal(dict(dataset.load()), dict(dataset.load()), "the outputs of a second load")


def outputs_are_not_written_to(dataset: Dataset) -> None:
    """Making pictures leaves the outputs alone."""
    outputs = dataset.load()
    before = snapshot(dict(outputs))
    dataset.pictures(outputs, None)
    unchanged(dict(outputs), before, "the outputs")


def expected_value_comes_out(example: MetricExample) -> None:
    """The metric of the example's configuration is the value that the example states."""
    close(example.metric(example.x), example.expected, "the metric", relative=1e-6)


def says_which_way_is_better(example: MetricExample) -> None:
    """`higher_is_better` is True or False."""
    found = example.metric.higher_is_better
    require(_is_any(found, bool), f"`higher_is_better` must be a bool, got {found!r}")


def batch_equals_loop(example: MetricExample) -> None:
    """Two configurations together get the values that they get one by one."""
    x, other = example.x, _another(example.x)
    together = example.metric(torch.stack([x, other]))
    apart = torch.stack([example.metric(x), example.metric(other)])
    close(together, apart, "the metric of two configurations, against one by one")


def configuration_is_not_written_to(example: MetricExample) -> None:
    """X is as it was after the call."""
    x = example.x.clone()
    example.metric(x)
    same(x, example.x, "x after the metric")


def _another(x: Shaped[Tensor, "..."]) -> Shaped[Tensor, "..."]:
    """A configuration with the same values elsewhere."""
    return x.flatten().flip(0).reshape(x.shape)


MODEL = laws(
    makes_an_energy_or_a_generator, inputs_are_not_written_to, energy_reaches_the_parameters
)
DATASET = laws(pictures_are_pictures, loads_the_same_twice, outputs_are_not_written_to)
METRIC = laws(
    expected_value_comes_out,
    says_which_way_is_better,
    batch_equals_loop,
    configuration_is_not_written_to,
)
