"""What the CPU kernels share: the compiler and its threads.

A kernel is a plain loop that numba compiles without the interpreter lock. Its first two arguments are a piece of the
work and the number of pieces, so threads are ordinary Python threads: no pool that a fork breaks or that two callers
may not enter at once. What a kernel writes never depends on how many pieces or threads there are.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numba
import torch


def compiled(function: Callable, **options: Any) -> Callable:
    """Decorator: a kernel, compiled on first use; kept on disk where a folder for that can be written.

    It may not create arrays, for then it need not count references to any, which costs more than the arithmetic and
    makes threads wait for one another.
    """
    options = {"nogil": True, "error_model": "numpy", "_nrt": False, **options}
    try:
        return numba.njit(function, cache=True, **options)
    except RuntimeError:  # no place for the cache
        return numba.njit(function, **options)


def inner(function: Callable | None = None, **options: Any) -> Callable:
    """Decorator: a part of kernels, compiled with each of them; ``fastmath`` may be chosen."""
    if function is None:
        return functools.partial(inner, **options)
    options = {"error_model": "numpy", "_nrt": False, "no_cpython_wrapper": True, "no_cfunc_wrapper": True, **options}
    return numba.njit(function, **options)


@functools.lru_cache(maxsize=2)
def _pool(workers: int, process: int) -> ThreadPoolExecutor:
    """Threads of this process (a fork inherits the object, but not its threads)."""
    return ThreadPoolExecutor(workers, thread_name_prefix="splat")


def pieces() -> int:
    """Into how many pieces `share` cuts the work: several per thread, since threads are seldom equally fast."""
    threads = torch.get_num_threads()
    return 1 if threads == 1 else 8 * threads


def share(kernel: Callable, room: Callable[[], tuple], *arguments: Any) -> None:
    """Run ``kernel(piece, pieces, *arguments, *room())`` for all pieces, on as many threads as torch uses.

    ``room`` creates the arrays that a thread works in.
    """
    count, helpers = pieces(), torch.get_num_threads() - 1
    todo = iter(range(count))

    def work() -> None:
        own = room()
        for piece in todo:
            kernel(piece, count, *arguments, *own)

    others = [_pool(helpers, os.getpid()).submit(work) for _ in range(helpers)]
    work()
    for other in others:
        other.result()
