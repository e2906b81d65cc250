"""Small problems with known answers, for each view: what solvers and adapters are tried on."""
