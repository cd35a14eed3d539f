"""Work that is done while the last result is in use."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from pipelines.errors import InputError
from render_refine.ahead import ahead


def test_ahead_makes_one_item_in_another_thread_and_passes_errors_on():
    made, threads = [], set()

    def items():
        for k in range(5):
            threads.add(threading.get_ident())
            made.append(k)
            yield k
        raise InputError("damaged")

    stream = ahead(items())
    for k in range(5):
        assert next(stream) == k
        assert len(made) <= k + 2  # memory does not grow with the length of a clip
    with pytest.raises(InputError, match="damaged"):
        next(stream)
    assert threading.get_ident() not in threads and len(threads) == 1


def test_work_ahead_takes_one_core_and_leaves_the_others_to_all_else():
    before = torch.get_num_threads()
    torch.set_num_threads(3)

    def asked() -> int:
        with ThreadPoolExecutor(1) as other:
            return other.submit(torch.get_num_threads).result()

    try:
        within = (torch.get_num_threads() for _ in range(3))
        for found in ahead((torch.get_num_threads(), inner) for inner in ahead(within)):
            assert found == (1, 1)
            assert torch.get_num_threads() == 3 and asked() == 3  # here, and in threads that begin later
    finally:
        torch.set_num_threads(before)
