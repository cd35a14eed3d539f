"""Work that is done while the last result is in use."""

from __future__ import annotations

import threading

import pytest

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
