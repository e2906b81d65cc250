"""The three phases: what each changes, exact resume across them, and that learning helps."""

from collections.abc import Iterable
from pathlib import Path

import pytest
import torch

import groundstate as gs
from groundstate_labelling.cross_entropy import SoftmaxCrossEntropy, enlarge, minimiser
from groundstate_labelling.dense_labelling import DenseLabelling, Structure
from groundstate_labelling.examples import scene, tiny
from groundstate_labelling.mean_iou import confusion, mean_iou
from groundstate_labelling.three_phase import ThreePhase, ThreePhaseState

SOURCE = gs.Minibatches(tensors=scene(6), size=2)


def learner(*steps: int, **settings: object) -> ThreePhase:
    lengths = (steps[0], steps[1], steps[2])
    return ThreePhase(
        loss=SoftmaxCrossEntropy(),
        steps=lengths,
        warmup=0,
        **settings,  # type: ignore[arg-type]
    )


def start(own: ThreePhase, structure: Structure = "sparse-potts") -> ThreePhaseState:
    return own.init(tiny(structure), SOURCE, torch.Generator().manual_seed(0))


def run(own: ThreePhase, state: ThreePhaseState, steps: Iterable[int]) -> ThreePhaseState:
    for step in steps:
        state = own.step(state, SOURCE(step))
    return state


def changed(before: dict[str, torch.Tensor], after: dict[str, torch.Tensor]) -> set[str]:
    return {name.split(".")[0] for name in before if not torch.equal(before[name], after[name])}


def test_each_phase_changes_what_it_should() -> None:
    own = learner(2, 2, 2)
    state, seen = start(own), list[set[str]]()
    for first in (0, 2, 4):
        before = own.save(state)["model"]
        state = run(own, state, range(first, first + 2))
        seen.append(changed(before, own.save(state)["model"]))
    assert seen[0] == {"backbone", "unary"}
    # statistics of the kept stream are kept, too
    assert seen[1] == {"edges", "log_scale"}
    assert seen[2] == {"backbone", "unary", "edges", "log_scale"}


@pytest.mark.parametrize("optimiser", ["adamw", "sgd"])
@pytest.mark.parametrize("stop", [1, 2, 3, 4, 5])
def test_learning_resumes_exactly_in_and_between_phases(stop: int, optimiser: str) -> None:
    own = learner(2, 2, 2, optimiser=optimiser, pairwise_loss="embedding")
    whole = run(own, start(own, "dense-potts"), range(6))
    half = own.save(run(own, start(own, "dense-potts"), range(stop)))
    resumed = run(own, own.load(start(own, "dense-potts"), half), range(stop, 6))
    wanted, found = own.save(whole)["model"], own.save(resumed)["model"]
    assert all(torch.equal(wanted[name], found[name]) for name in wanted)
    assert whole.metrics == resumed.metrics


def test_fit_goes_on_where_it_was_stopped(tmp_path: Path) -> None:
    own, model = learner(3, 2, 2), tiny("sparse-potts")
    whole = gs.fit(own, model, SOURCE, steps=7, evaluate_every=2)
    gs.fit(own, model, SOURCE, steps=4, evaluate_every=2, folder=tmp_path)
    resumed = gs.fit(own, model, SOURCE, steps=7, evaluate_every=2, folder=tmp_path)
    wanted, found = (own.save(each.state)["model"] for each in (whole, resumed))
    assert all(torch.equal(wanted[name], found[name]) for name in wanted)


def test_phases_end_where_they_should() -> None:
    own = learner(3, 0, 2)
    assert [own.phase(k) for k in range(5)] == [(0, 0), (0, 1), (0, 2), (2, 0), (2, 1)]
    assert own.phase(6) == (2, 3)


def test_the_rate_falls_in_each_phase() -> None:
    own = learner(4, 4, 0, rates=(0.1, 0.2, 0.3))
    state, rates = start(own), list[float]()
    for step in range(8):
        state = own.step(state, SOURCE(step))
        rates.append(state.metrics["rate"])
    assert rates[:4] == pytest.approx([0.1 * (1 - k / 4) ** 0.9 for k in range(4)])
    assert rates[4:] == pytest.approx([0.2 * (1 - k / 4) ** 0.9 for k in range(4)])
    halved = learner(4, 0, 0, rates=(0.1, 0.2, 0.3), schedule="step")
    state = run(halved, start(halved), range(4))
    assert state.metrics["rate"] == pytest.approx(0.01)


def test_a_model_that_does_not_fit_is_refused() -> None:
    with pytest.raises(TypeError, match="unary_stream"):
        learner(1, 1, 1).init(torch.nn.Linear(1, 1), SOURCE, torch.Generator())
    with pytest.raises(ValueError, match="pairwise terms to learn"):
        start(learner(1, 1, 1), "unary")


def test_learned_pairwise_terms_label_noisy_bands_better() -> None:
    """Weak colours, strong noise: neighbours know what a pixel does not."""
    train, held = scene(12, seed=1), scene(12, seed=2)
    noisy = {
        **train,
        "image": train["image"]
        + 0.3 * torch.randn(train["image"].shape, generator=torch.Generator().manual_seed(3)),
    }
    test = held["image"] + 0.3 * torch.randn(
        held["image"].shape, generator=torch.Generator().manual_seed(4)
    )
    source = gs.Minibatches(tensors=noisy, size=6)
    own = learner(25, 25, 0, rates=(0.02, 0.05, 0.01))
    state = start(own)
    found: list[float] = []
    for first in (0, 25):
        for step in range(first, first + 25):
            state = own.step(state, source(step))
        model = state.model.eval()
        assert isinstance(model, DenseLabelling)
        with torch.no_grad():
            make = model.uncoupled if first == 0 else model
            scores = minimiser(make({"image": test}))
        labels = enlarge(scores, (16, 24)).argmax(1)
        found.append(float(mean_iou(confusion(labels, held["labels"], 3, 11))))
    assert found[1] > found[0]
