"""Every law of the test kit that the components of this plugin are held to."""

from groundstate.testing.conformance import Case, parametrize_laws


@parametrize_laws("messages")
def test_law(case: Case) -> None:
    case()
