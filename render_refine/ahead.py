"""Work that does not wait for its turn: the next item is made while the last one is in use."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

Item = TypeVar("Item")


def ahead(items: Iterable[Item]) -> Iterator[Item]:
    """Pass items on; a thread makes the next one meanwhile, and only that one.

    It takes one core, also in torch: two callers that take all of them slow each other down. What decodes, or computes
    with arrays, leaves Python's lock. Whether gradients are recorded is each thread's own affair: a generator that uses
    networks says so itself.
    """
    iterator = iter(items)
    with ThreadPoolExecutor(1, initializer=torch.set_num_threads, initargs=(1,)) as thread:
        waiting = thread.submit(next, iterator, None)
        while (item := waiting.result()) is not None:
            waiting = thread.submit(next, iterator, None)
            yield item
