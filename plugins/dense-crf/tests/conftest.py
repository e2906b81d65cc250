"""One thread, so that results do not depend on the machine; and a way to what tests share."""

import sys
from pathlib import Path

import pytest
import torch

# the folder has a hyphen in its name, so these tests are no package to import from
sys.path.append(str(Path(__file__).parent))


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
