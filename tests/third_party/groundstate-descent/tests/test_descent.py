import torch
from groundstate_descent.descent import ExactDescent

import groundstate as gs


def test_a_multiple_of_the_identity_takes_one_step() -> None:
    linear = torch.tensor([[1.0, -2.0, 3.0], [0.5, 0.0, 4.0]], dtype=torch.float64)
    quadratic = gs.Quadratic(
        matvec=lambda x: 4 * x,
        linear=linear,
        constant=torch.zeros(2, dtype=torch.float64),
        diagonal=torch.full_like(linear, 4.0),
    )
    space = gs.Real(batch_shape=(2,), event_shape=(3,), dtype=torch.float64)
    solution = gs.solve(gs.QuadraticEnergy(quadratic=quadratic, space=space), ExactDescent())
    assert solution.steps == 1
    torch.testing.assert_close(solution.x, linear / 4)
