from groundstate.testing.conformance import Case, parametrize_laws


@parametrize_laws("descent")
def test_law(case: Case) -> None:
    case()
