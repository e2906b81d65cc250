"""Message passing on factor graphs for groundstate: bounds, marginals and log Z."""

from collections.abc import Iterable

from groundstate import Component, hookimpl


@hookimpl
def groundstate_components() -> Iterable[Component]:
    """What this plugin offers."""
    yield Component(
        kind="solver",
        name="trws",
        target="groundstate_messages.trws:TRWS",
        summary="sequential tree-reweighted messages: a lower bound that never falls, pairwise",
        source="Kolmogorov: Convergent Tree-Reweighted Message Passing for Energy Minimization "
        "(2006)",
        needs=("FactorGraph",),
        claims=("bound", "monotone", "anytime", "batched"),
        examples="groundstate_messages.examples:trws",
    )
    yield Component(
        kind="solver",
        name="sum-product",
        target="groundstate_messages.sum_product:SumProduct",
        summary="belief propagation for marginals and Bethe's log Z; exact on forests",
        source="Kschischang, Frey, Loeliger: Factor Graphs and the Sum-Product Algorithm (2001)",
        needs=("FactorGraph",),
        claims=(
            "anytime",
            "batched",
            "beliefs",
            "bound",
            "exact-beliefs-on-trees",
            "higher-order-messages",
        ),
        examples="groundstate_messages.examples:sum_products",
    )
    yield Component(
        kind="solver",
        name="trw-bp",
        target="groundstate_messages.trw:TRWBP",
        summary="tree-reweighted marginals and an upper bound on log Z that always holds, pairwise",
        source="Wainwright, Jaakkola, Willsky: A New Class of Upper Bounds on the Log Partition "
        "Function (2005)",
        needs=("FactorGraph",),
        claims=("anytime", "batched", "beliefs", "bound", "exact-beliefs-on-trees"),
        examples="groundstate_messages.examples:trw_bps",
    )
    yield Component(
        kind="solver",
        name="dual-decomposition",
        target="groundstate_messages.dual_decomposition:DualDecomposition",
        summary="forests and wide factors with copies of their variables, made to agree; a bound",
        source="Komodakis, Paragios, Tziritas: MRF Energy Minimization and Beyond via Dual "
        "Decomposition (2011)",
        needs=("FactorGraph",),
        claims=("anytime", "batched", "bound", "higher-order-messages", "monotone"),
        examples="groundstate_messages.examples:dual_decompositions",
    )
