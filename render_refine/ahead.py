"""Work that does not wait for its turn: the next item is made while the last one is in use."""

from __future__ import annotations

import threading
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
    everywhere = getattr(_thread, "everywhere", None) or torch.get_num_threads()
    with ThreadPoolExecutor(1, initializer=_take_one_core, initargs=(everywhere,)) as thread:
        waiting = thread.submit(next, iterator, None)
        while (item := waiting.result()) is not None:
            waiting = thread.submit(next, iterator, None)
            yield item


_thread = threading.local()


def _take_one_core(everywhere: int) -> None:
    """Let torch use one thread in this one, and as many as before in those that are still to begin."""
    _thread.everywhere = everywhere
    torch.get_num_threads()  # the first question would undo what comes next
    torch.set_num_threads(1)
    # Torch takes the last word of any thread for all that are still to begin: one that ends at once has it.
    last = threading.Thread(target=torch.set_num_threads, args=(everywhere,))
    last.start()
    last.join()
