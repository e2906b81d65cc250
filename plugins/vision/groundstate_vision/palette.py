"""The palette: colour k stands for label k in stroke files, masks and overlays.

Labels 0 to 7 are the colours of Okabe and Ito ("Color Universal Design", 2008), with grey in the
place of black, which means "no label"; labels 8 to 15 are Paul Tol's "muted" scheme (SRON/EPS/TN/
09-002). Both stay apart under the common forms of colour blindness.
"""

import torch
from jaxtyping import UInt8
from torch import Tensor

PALETTE: tuple[tuple[str, tuple[int, int, int]], ...] = (
    ("blue", (0, 114, 178)),
    ("orange", (230, 159, 0)),
    ("green", (0, 158, 115)),
    ("yellow", (240, 228, 66)),
    ("pink", (204, 121, 167)),
    ("sky blue", (86, 180, 233)),
    ("vermilion", (213, 94, 0)),
    ("grey", (153, 153, 153)),
    ("rose", (204, 102, 119)),
    ("indigo", (51, 34, 136)),
    ("sand", (221, 204, 119)),
    ("dark green", (17, 119, 51)),
    ("cyan", (136, 204, 238)),
    ("wine", (136, 34, 85)),
    ("teal", (68, 170, 153)),
    ("olive", (153, 153, 51)),
)
"""Name and sRGB colour of each label's colour, label 0 first."""


def palette() -> UInt8[Tensor, "colours 3"]:
    """The palette as a table of sRGB colours, one row per label."""
    return torch.tensor([colour for _, colour in PALETTE], dtype=torch.uint8)


def colour_name(label: int) -> str:
    """The name of a label's colour."""
    return PALETTE[label % len(PALETTE)][0]
