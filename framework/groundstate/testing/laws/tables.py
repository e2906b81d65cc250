"""Which laws each kind has, and which of them a claim switches on: it stands nowhere else."""

from collections.abc import Mapping

from groundstate.testing.laws import (
    adapter,
    answers,
    beliefs,
    component,
    critic,
    ending,
    energy,
    factors,
    generator,
    gradients,
    learner,
    loss,
    quadratic,
    reader,
    services,
    solver,
    supporting,
)
from groundstate.testing.laws.law import Law

LAWS_OF_ENERGIES: tuple[Law, ...] = (
    *energy.LAWS,
    *quadratic.LAWS,
    *factors.LAWS,
    *services.LAWS,
    *critic.LAWS,
)

LAWS: Mapping[str, tuple[Law, ...]] = {
    "energy": LAWS_OF_ENERGIES,
    "solver": (*solver.LAWS, *ending.LAWS, *answers.LAWS, *beliefs.LAWS, *gradients.LAWS),
    "loss": loss.LAWS,
    "generator": generator.LAWS,
    "learner": learner.LAWS,
    "model": supporting.MODEL,
    "dataset": supporting.DATASET,
    "metric": supporting.METRIC,
    "adapter": adapter.LAWS,
    "reader": reader.LAWS,
}
"""The laws of the instances of each kind."""

LAWS_OF_RECORDS: Mapping[str, tuple[Law, ...]] = {
    kind: (
        *component.LAWS,
        *(component.GIVES if kind in ("energy", "model", "dataset") else ()),
        *(component.ADAPTS if kind == "adapter" else ()),
    )
    for kind in LAWS
}
"""The laws of the record of a component of each kind."""

PER_PROBLEM = ("solver", "adapter")
"""Kinds whose laws are about an instance and one of the kit's problems."""

CLAIMS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "solver": {
        "anytime": ("stops_at_the_deadline",),
        "batched": ("batch_equals_loop",),
        "beliefs": (
            "beliefs_are_given",
            "marginals_are_distributions",
            "log_partition_lies_between_its_bounds",
        ),
        "bound": ("bound_is_given", "bound_is_below_minimum"),
        "equivariant": ("renaming_variables_renames_the_solution",),
        "exact": ("reaches_the_minimum", "no_minimum_is_not_called_converged"),
        "exact-beliefs": ("marginals_are_exact",),
        "exact-beliefs-on-trees": ("marginals_are_exact_on_trees",),
        "exact-on-trees": ("is_exact_on_trees",),
        "higher-order-messages": ("takes_messages_of_higher_order",),
        "higher-order-moves": ("takes_factors_that_serve_only_moves",),
        "implicit-gradient": ("implicit_gradient_equals_finite_differences",),
        "monotone": ("energy_never_rises",),
        "residual": ("residual_is_told", "claimed_residual_is_true"),
        "sampler": ("samples_follow_the_density",),
        "unrolled-gradient": ("unrolled_gradient_equals_finite_differences",),
    },
    "loss": {
        "consistent": ("lower_for_the_model_than_for_its_opposite",),
        "constant-invariant": ("constant_of_the_energy_does_not_matter",),
        "mean": ("more_samples_same_scale",),
    },
    "generator": {"exact": ("samples_follow_the_energy",)},
    "adapter": {
        "evidence": ("energy_is_kept_on_vertices",),
        "exact-on-vertices": ("energy_is_kept_on_vertices",),
    },
}
"""Claims by kind, and the laws that each switches on. Laws under no claim always hold."""

HOLD_WITHOUT_CLAIM = frozenset(
    {
        "batch_equals_loop",
        "bound_is_below_minimum",
        "claimed_residual_is_true",
        "log_partition_lies_between_its_bounds",
        "marginals_are_distributions",
    }
)
"""Laws that hold for everybody; under the claim they must also have been tried."""


def claimed(kind: str, claims: tuple[str, ...]) -> frozenset[str]:
    """Names of the laws that these claims switch on."""
    known = CLAIMS.get(kind, {})
    return frozenset(name for claim in claims for name in known.get(claim, ()))


def laws_for_kind(kind: str, claims: tuple[str, ...]) -> tuple[Law, ...]:
    """The laws of an instance of that kind with these claims."""
    switched = {name for names in CLAIMS.get(kind, {}).values() for name in names}
    on = claimed(kind, claims) | HOLD_WITHOUT_CLAIM
    return tuple(law for law in LAWS[kind] if law.name not in switched or law.name in on)
