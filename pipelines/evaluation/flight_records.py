"""Long flights that were measured are kept, so that a run that was killed goes on where it was."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

from safetensors.torch import load_file

import infinite_view
import render_refine
from pipelines.evaluation.flight_drift import Record
from pipelines.evaluation.report import fingerprint
from pipelines.models import WEIGHTS
from pipelines.training.rendering import save_item

CURVE, SAMPLES, SHOWN = "curve ", "samples", "shown "  # tensors of a file, by the beginnings of their names


class Records:
    """A folder of measured flights. What a figure depends on is part of a file's name: photo, models, code, size.

    Args:
        folder: made when something is kept.
        refiner: folder of the weights flown with; the bundled ones when left out.
        frames: of each flight; size: (height, width) of a frame.
    """

    def __init__(self, folder: Path, refiner: Path | None, frames: int, size: tuple[int, int]) -> None:
        self.folder = folder
        digest = hashlib.sha256(f"{frames} {size}".encode())
        for weights in (refiner or WEIGHTS / "refiner", WEIGHTS / "depth", WEIGHTS / "segmenter"):
            digest.update(fingerprint(weights).encode())
        for source in sources():
            digest.update(source.read_bytes())
        self.digest = digest

    def path(self, photo: Path) -> Path:
        """Where the flight into a photo is kept."""
        digest = self.digest.copy()
        digest.update(photo.read_bytes())
        return self.folder / f"flown_{photo.stem}_{digest.hexdigest()[:12]}.safetensors"

    def find(self, photo: Path) -> Record | None:
        """The flight into a photo, if it is there."""
        path = self.path(photo)
        if not path.exists():
            return None
        tensors = load_file(path)
        curves = {name.removeprefix(CURVE): tensors[name] for name in tensors if name.startswith(CURVE)}
        shown = {int(name.removeprefix(SHOWN)): tensors[name] for name in tensors if name.startswith(SHOWN)}
        return Record(curves, tensors[SAMPLES], shown)

    def keep(self, photo: Path, record: Record) -> None:
        """Write a flight; the file appears whole or not at all."""
        self.folder.mkdir(parents=True, exist_ok=True)
        curves = {CURVE + name: curve for name, curve in record.curves.items()}
        shown = {f"{SHOWN}{number}": picture for number, picture in record.shown.items()}
        save_item(self.path(photo), {SAMPLES: record.samples, **curves, **shown})


def sources() -> Iterable[Path]:
    """The files of code that decide what a flight looks like."""
    for package in (infinite_view, render_refine):
        yield from sorted(Path(package.__path__[0]).rglob("*.py"))
