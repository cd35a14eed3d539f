"""Rendering a set of training data on all cores."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from pipelines.progress import Meter


def save_item(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write one item of a set; the file appears whole or not at all."""
    partial = path.with_suffix(".partial")
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, partial)
    os.replace(partial, path)


def render_all(
    make_one: Callable[[int], None],
    missing: Sequence[int],
    folder: Path,
    what: str,
    unit: str,
    processes: int | None = None,
) -> None:
    """Call ``make_one`` for every missing item, each in one thread of one of several processes.

    Args:
        make_one: renders an item by its number and writes it into ``folder``, whole or not at all.
        missing: the numbers.
        folder: made when it is not there.
        what, unit: for the progress line.
        processes: how many; one per core when left out.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if not missing:
        return
    context = multiprocessing.get_context("spawn")
    count = processes or os.cpu_count()
    with (
        Meter(len(missing), what, unit) as meter,
        ProcessPoolExecutor(count, context, initializer=torch.set_num_threads, initargs=(1,)) as pool,
    ):
        jobs = [pool.submit(make_one, k) for k in missing]
        for done, job in enumerate(as_completed(jobs), start=1):
            job.result()
            meter.reach(done)
