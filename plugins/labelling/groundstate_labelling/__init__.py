"""Networks, losses and training for dense labelling with Gaussian conditional random fields."""

from collections.abc import Iterable

from groundstate import Component, hookimpl

_THESIS = "Chandra: Efficient Deep Structured Prediction for Dense Labeling Tasks (thesis, 2018)"


@hookimpl
def groundstate_components() -> Iterable[Component]:
    """What this plugin offers."""
    yield Component(
        kind="model",
        name="dense-labelling",
        target="groundstate_labelling.dense_labelling:DenseLabelling",
        summary="a small network that makes a Gaussian CRF over the labels of an image or clip",
        source=_THESIS,
        gives=("Density", "PottsStructure", "Quadratic", "SparseMatrix"),
        examples="groundstate_labelling.examples:models",
    )
    yield Component(
        kind="loss",
        name="softmax-cross-entropy",
        target="groundstate_labelling.cross_entropy:SoftmaxCrossEntropy",
        summary="cross-entropy of the labels at the minimiser of the energy, by implicit gradient",
        source=_THESIS,
        needs=("Quadratic",),
        examples="groundstate_labelling.examples:cross_entropies",
    )
    yield Component(
        kind="loss",
        name="pairwise-embedding",
        target="groundstate_labelling.pairwise_embedding:PairwiseEmbedding",
        summary="embeddings whose pairwise term is lowest for the true labels of two pixels",
        source=_THESIS,
        needs=("Embeddings",),
        examples="groundstate_labelling.examples:pairwise_embeddings",
    )
    yield Component(
        kind="learner",
        name="three-phase",
        target="groundstate_labelling.three_phase:ThreePhase",
        summary="unary stream, then pairwise terms alone, then everything end to end",
        source=_THESIS,
        examples="groundstate_labelling.examples:learners",
    )
    yield Component(
        kind="dataset",
        name="camvid",
        target="groundstate_labelling.camvid:CamvidDataset",
        summary="labelled frames of driving video, one by one or as clips",
        source="Brostow, Fauqueur, Cipolla: Semantic object classes in video (2009)",
        gives=("source", "validation", "names"),
        examples="groundstate_labelling.examples:camvids",
    )
    yield Component(
        kind="metric",
        name="mean-iou",
        target="groundstate_labelling.mean_iou:MeanIou",
        summary="mean over classes of intersection over union, pixels without a label left out",
        examples="groundstate_labelling.examples:mean_ious",
    )
