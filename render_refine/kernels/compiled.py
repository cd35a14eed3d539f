"""What the CPU kernels share: the compiler and its threads.

A kernel is a plain loop that numba compiles without the interpreter lock. Its first argument is a counter: whoever
calls the kernel does the pieces that `claim` gives out, until none is left. So threads are ordinary Python threads, one
call each: no pool that a fork breaks or that two callers may not enter at once, and a thread that is late leaves its
share to the others. What a kernel writes never depends on who does which piece.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numba
import numpy as np
import torch
from numba.core import types
from numba.extending import intrinsic

FINISHED = 8  # where pieces that are done are counted: not in the cache line of those that were begun


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


def inner(function: Callable) -> Callable:
    """Decorator: a part of kernels, compiled into each of them.

    Always inlined: a call would hand over every array as seven numbers, which costs more than most parts compute.
    """
    options: dict[str, Any] = {"error_model": "numpy", "_nrt": False, "forceinline": True}
    options |= {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}
    return numba.njit(function, **options)


# LLVM's own instructions as functions. (To a type checker they would have the arguments of what defines them.)
instruction: Callable[[Callable], Any] = intrinsic


@instruction
def claim(typing, counter):
    """The number of the next piece that nobody has begun: ``counter[0]++``, by one thread at a time."""

    def generate(context, builder, sig, args):
        pointer = context.make_array(counter)(context, builder, args[0]).data
        return builder.atomic_rmw("add", pointer, context.get_constant(types.int64, 1), "monotonic")

    return types.int64(counter), generate


@instruction
def finish(typing, counter):
    """Say that a claimed piece is done, and all that was written for it: ``counter[FINISHED]++``."""

    def generate(context, builder, sig, args):
        place = _finished(context, builder, sig, args)
        return builder.atomic_rmw("add", place, context.get_constant(types.int64, 1), "release")

    return types.int64(counter), generate


@instruction
def finished(typing, counter):
    """How many pieces are done; what was written for them can be read."""

    def generate(context, builder, sig, args):
        return builder.load_atomic(_finished(context, builder, sig, args), "acquire", 8)

    return types.int64(counter), generate


def _finished(context, builder, sig, args):
    pointer = context.make_array(sig.args[0])(context, builder, args[0]).data
    return builder.gep(pointer, [context.get_constant(types.intp, FINISHED)])


@functools.lru_cache(maxsize=2)
def _pool(workers: int, process: int) -> ThreadPoolExecutor:
    """Threads of this process (a fork inherits the object, but not its threads)."""
    return ThreadPoolExecutor(workers, thread_name_prefix="splat")


def share(kernel: Callable, room: Callable[[], tuple], *arguments: Any, threads: int | None = None) -> None:
    """Run ``kernel(counter, *arguments, *room())`` on as many threads as torch uses, or on so many.

    ``room`` creates the arrays that a thread works in.
    """
    helpers = (threads or torch.get_num_threads()) - 1
    counter = np.zeros(FINISHED + 1, np.int64)

    def work() -> None:
        kernel(counter, *arguments, *room())

    others = [_pool(helpers, os.getpid()).submit(work) for _ in range(helpers)]
    work()
    for other in others:
        other.result()
