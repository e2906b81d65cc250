"""Compiled code in threads of its own, which hold no lock: no second thread pool beside torch's."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import torch


def run_all(jobs: Sequence[Callable[[], object]]) -> None:
    """All jobs, on as many threads as torch has; what goes wrong in one is raised."""
    threads = min(torch.get_num_threads(), len(jobs))
    if threads <= 1:
        for job in jobs:
            job()
        return
    with ThreadPoolExecutor(threads) as pool:
        for job in [pool.submit(each) for each in jobs]:
            job.result()


def shares(count: int, most: int) -> list[tuple[int, int]]:
    """Where `count` things begin and end for each of torch's threads, or of `most` if that is less.

    There is one share at least, for nobody has to look whether there is nothing to do.
    """
    threads = max(1, min(torch.get_num_threads(), most, count))
    return list(pairwise(count * thread // threads for thread in range(threads + 1)))
