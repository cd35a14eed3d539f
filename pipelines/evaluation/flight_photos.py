"""The real photos that are flown into, chosen by name alone, and those that flights are compared with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from pipelines.errors import InputError
from pipelines.evaluation.takes import levels
from pipelines.flyover import DEMO
from pipelines.media.framing import fit
from pipelines.media.images import read_image
from pipelines.training.photo_set import free_photos, split
from pipelines.training.posed_set import SUFFIXES


@dataclass(frozen=True)
class Choice:
    """Files: the photos to fly into, and real photos to compare the flights' textures with."""

    flown: list[Path]
    references: list[Path]

    @staticmethod
    def of(data: Path | None, count: int) -> Choice:
        """The first ``count`` that the bundled models were not trained on: held out ones by name, then by name those
        whose licence kept them out of training. All others are references. Without ``data``, the demo view alone.

        Raises:
            InputError: no landscape_photos in ``data``, or not so many photos.
        """
        if data is None:
            return Choice([DEMO], [])
        folder = data / "landscape_photos"
        if not folder.is_dir():
            raise InputError(f"{data}: expected a folder of data sets, with landscape_photos in it")
        free = free_photos(folder)
        everything = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
        unseen = [*split(free)[1], *(path for path in everything if path not in free)]
        if len(unseen) < count:
            raise InputError(f"{folder}: found {len(unseen)} photos that no model was trained on, wanted {count}")
        flown = unseen[:count]
        return Choice(flown, [path for path in everything if path not in flown])

    def reference_pictures(self, height: int, width: int) -> Tensor | None:
        """(N, 3, height, width) uint8; None without any."""
        if not self.references:
            return None
        return torch.stack([levels(fit(read_image(path), height, width)) for path in self.references])
