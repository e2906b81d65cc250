"""Fully connected discrete random fields: Gaussian kernels between all pixels, mean field."""

from collections.abc import Iterable

from groundstate import Component, hookimpl


@hookimpl
def groundstate_components() -> Iterable[Component]:
    """What this plugin offers."""
    yield Component(
        kind="energy",
        name="dense-crf",
        target="groundstate_dense_crf.energy:dense_crf",
        summary="label costs, and Gaussian kernels of position and colour between all pixels",
        source="Krähenbühl, Koltun: Efficient Inference in Fully Connected CRFs with Gaussian Edge "
        "Potentials (2011)",
        gives=("DenseKernels", "FactorGraph"),
        examples="groundstate_dense_crf.examples:dense_crfs",
    )
    yield Component(
        kind="solver",
        name="dense-crf-mean-field",
        target="groundstate_dense_crf.mean_field:DenseMeanField",
        summary="mean field of all pixels at once, as published, damped, or with a line search",
        source="Krähenbühl, Koltun: Efficient Inference in Fully Connected CRFs with Gaussian Edge "
        "Potentials (2011)",
        needs=("DenseKernels",),
        claims=("beliefs", "bound"),
        examples="groundstate_dense_crf.examples:mean_fields",
    )
    yield Component(
        kind="model",
        name="crf-as-rnn",
        target="groundstate_dense_crf.crf_as_rnn:CrfAsRnn",
        summary="steps of dense mean field as layers, with weights and compatibility learned",
        source="Zheng et al.: Conditional Random Fields as Recurrent Neural Networks (2015)",
        gives=("FactorGraph",),
        examples="groundstate_dense_crf.examples:crfs_as_rnn",
    )
