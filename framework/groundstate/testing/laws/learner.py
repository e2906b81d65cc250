"""What holds for every learner: the loss falls, and its state is everything."""

import copy
from typing import Any

from groundstate.examples import LearnerExample
from groundstate.testing.laws.law import laws
from groundstate.testing.laws.states import reloaded, storages
from groundstate.testing.saying import require
from groundstate.testing.trees import (
    disturb_global_randomness,
    equal,
    generator,
    global_randomness,
    snapshot,
    unchanged,
)


def begin(example: LearnerExample, seed: int = 0) -> Any:
    """A first state, with an own copy of the model."""
    return example.learner.init(copy.deepcopy(example.model), example.source, generator(seed))


def learn(example: LearnerExample, state: Any, first: int, steps: int) -> Any:
    """The state after steps `first`, `first` + 1, ..."""
    for step in range(first, first + steps):
        state = example.learner.step(state, example.source(step))
    return state


def source_repeats_itself(example: LearnerExample) -> None:
    """The source gives the same batch each time it is asked for a step, in any order."""
    early = {name: tensor.clone() for name, tensor in example.source(0).items()}
    example.source(3)
    equal(dict(example.source(0)), early, "the batch of step 0, asked again")


def loss_falls(example: LearnerExample) -> None:
    """The loss on a fixed batch is lower after the example's steps than before."""
    state, batch = begin(example), example.source(0)
    before = dict(example.learner.measure(state, batch))
    require("loss" in before, f"`measure` must give 'loss', got {sorted(before)}")
    state = learn(example, state, 0, example.steps)
    after = float(example.learner.measure(state, batch)["loss"])
    require(
        after < float(before["loss"]),
        f"the loss must fall within {example.steps} steps: it went from "
        f"{float(before['loss']):.6g} to {after:.6g}",
    )


def saves_and_resumes_exactly(example: LearnerExample) -> None:
    """3 steps, saved, loaded into a fresh learner, and 4 more are the same as 7, bit by bit."""
    learner = example.learner
    whole = learn(example, begin(example), 0, 7)
    half = reloaded(learner.save(learn(example, begin(example), 0, 3)))
    resumed = learn(example, learner.load(begin(example, seed=9), half), 3, 4)
    equal(
        learner.save(resumed),
        learner.save(whole),
        "what is saved after 3 steps, a reload and 4 steps, against 7 steps",
    )
    batch = example.source(0)
    for name, value in learner.measure(whole, batch).items():
        found = learner.measure(resumed, batch).get(name)
        require(found == value, f"{name!r} after a reload must be {value!r}, got {found!r}")


def saved_state_shares_no_memory(example: LearnerExample) -> None:
    """Further steps do not change what was saved, and loading makes copies."""
    learner = example.learner
    state = learn(example, begin(example), 0, 2)
    saved = learner.save(state)
    kept = snapshot(saved)
    state = learn(example, state, 2, 2)
    unchanged(saved, kept, "what was saved, after more steps")
    loaded = learner.load(begin(example, seed=9), saved)
    learn(example, loaded, 2, 2)
    unchanged(saved, kept, "what was saved, after steps of the state loaded from it")
    shared = storages(learner.save(loaded)) & storages(saved)
    require(not shared, "a state that was loaded shares memory with what was saved")


def measure_does_not_change_the_state(example: LearnerExample) -> None:
    """A run in which every step is measured is the same as one that is not."""
    learner = example.learner
    plain = learn(example, begin(example), 0, 4)
    state = begin(example)
    for step in range(4):
        learner.measure(state, example.source(1))
        state = learner.step(state, example.source(step))
        before = learner.save(state)
        learner.measure(state, example.source(1))
        learner.measure(state, None)
        equal(learner.save(state), before, "what is saved after `measure`")
    equal(learner.save(state), learner.save(plain), "a run that was measured, against one not")


def same_seed_same_result(example: LearnerExample) -> None:
    """The seed and the source alone decide what is learned."""
    first, second = (learn(example, begin(example, seed=5), 0, 4) for _ in range(2))
    save = example.learner.save
    equal(save(second), save(first), "what is saved after a second run with the same seed")


def global_randomness_is_untouched(example: LearnerExample) -> None:
    """Random numbers come from the generator passed: no global one is read or changed."""
    before = global_randomness()
    first = learn(example, begin(example), 0, 3)
    after = global_randomness()
    for name in before:
        equal(after[name], before[name], f"the state of the global generator of {name}")
    disturb_global_randomness(77)
    second = learn(example, begin(example), 0, 3)
    save = example.learner.save
    equal(save(second), save(first), "a run after the global generators were moved")


def batch_is_not_written_to(example: LearnerExample) -> None:
    """A step leaves its batch alone."""
    batch = {name: tensor.clone() for name, tensor in example.source(0).items()}
    before = snapshot(batch)
    state = example.learner.step(begin(example), batch)
    example.learner.measure(state, batch)
    unchanged(batch, before, "the batch")


LAWS = laws(
    source_repeats_itself,
    loss_falls,
    saves_and_resumes_exactly,
    saved_state_shares_no_memory,
    measure_does_not_change_the_state,
    same_seed_same_result,
    global_randomness_is_untouched,
    batch_is_not_written_to,
)
