"""Solve a small example with every solver that fits it, so that what compiles on first use has.

Kernels are kept beside their source; a time budget is then not spent on compiling them.
"""

import torch

import groundstate as gs
from groundstate.solving import solve

registry = gs.load(warn=False)
for energy in registry.components("energy"):
    for solver in registry.matching(energy.component.gives):
        for dtype in (torch.float32, torch.float64):
            for problem in registry.examples(energy.qualified)[:1]:
                for method in registry.examples(solver.qualified)[:1]:
                    moved = gs.to(problem, dtype=dtype)
                    try:
                        solve(moved, method, steps=2, seconds=1, throw=False)
                    except (gs.GroundstateError, ValueError, TypeError) as error:
                        print(f"not warmed: {solver.key} on {energy.key}: {error}")
