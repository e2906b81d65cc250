"""Groups of factors of one form; see `groundstate.factors.FactorGroup`."""
