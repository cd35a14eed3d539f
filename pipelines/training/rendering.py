"""Rendering a set of training data on all cores."""

from __future__ import annotations

import multiprocessing
import os
from abc import ABC, abstractmethod
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


class RenderedSet(ABC):
    """A folder of items that are rendered once.

    Args:
        folder: made when something is rendered.
        count: how many items.
        name: what their files' names begin with; it tells apart items that differ in anything but their number.
        what, unit: for the progress line.
    """

    def __init__(self, folder: Path, count: int, name: str, what: str, unit: str) -> None:
        self.folder, self.count = folder, count
        self._name, self._what, self._unit = name, what, unit

    def __len__(self) -> int:
        return self.count

    def path(self, index: int) -> Path:
        """Where item ``index`` is kept."""
        return self.folder / f"{self._name}_{index:06d}.safetensors"

    def make(self, processes: int | None = None) -> None:
        """Render what is missing, on all cores; each file appears whole or not at all."""
        missing = [k for k in range(self.count) if not self.path(k).exists()]
        render_all(self._make_one, missing, self.folder, self._what, self._unit, processes)

    def _make_one(self, index: int) -> None:
        save_item(self.path(index), self.render(index))

    @abstractmethod
    def render(self, index: int) -> Mapping[str, Tensor]:
        """Item ``index`` as it is kept."""


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
