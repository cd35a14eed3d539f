"""CamVid: drives through Cambridge with hand-made labels (Brostow, Fauqueur, Cipolla 2008), in 11 classes.

The folder holds ``frames.csv`` (every frame with its sequence and time), ``classes.csv`` (id, name) and, per
sequence, ``images/NAME.jpg`` and ``labels/NAME.png``. The data may not be used commercially, nor may what is
learned from them.

The one sequence with every second frame of the film, 0016E5_c_15Hz, is never learned from. The drives before and
after it are of the same camera on the same street: the 8 frames of them within 5 s of it are not learned from
either.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms.functional import pil_to_tensor

from pipelines.errors import InputError
from pipelines.media.images import read_image
from vid2vid.classes import CLASSES
from vid2vid.label_sets import built_in, class_number

TRAINING = ("0001TP_1Hz", "0006R0_1Hz", "0016E5_a_1Hz", "0016E5_b_1Hz", "0016E5_d_1Hz")
HELD_OUT = ("0016E5_c_15Hz",)
HELD_OUT_EVERY = 10  # frames of a training sequence
GAP = 5.0  # seconds between what is learned from and a held-out sequence of the same drive

TARGETS = {entry.name: entry.target for entry in built_in("camvid").entries}
CAMVID_CLASSES = tuple(name for name in CLASSES if name in TARGETS.values())


@dataclass(frozen=True)
class CamVidFrame:
    """One row of ``frames.csv``: the drive, the file's name without its ending, and seconds into the drive's film."""

    sequence: str
    name: str
    time: float


class CamVid:
    """Labelled frames, read once, kept as bytes.

    ``camvid[k]`` is ``(rgb, labels)``: rgb (3, H, W) float32 sRGB in [0, 1] and labels (H, W) int64 ids of
    ``vid2vid.classes.CLASSES``, 255 for none; ``camvid.frames[k]`` says which frame it is. Frames are in order.
    """

    def __init__(self, folder: Path | str, sequences: tuple[str, ...] = TRAINING, held_out: bool = False) -> None:
        """Read sequences.

        Args:
            folder: of the data set.
            sequences: names of ``TRAINING`` or ``HELD_OUT``.
            held_out: False for the frames to learn from; True for the others: every 10th frame of a training
                sequence, all of a held-out one.

        Raises:
            InputError: a file is missing or damaged, or a label has no name.
            ValueError: an unknown sequence, or a held-out one to learn from.
        """
        if unknown := set(sequences) - {*TRAINING, *HELD_OUT}:
            raise ValueError(f"unknown sequences {sorted(unknown)}; there are {(*TRAINING, *HELD_OUT)}")
        if not held_out and set(sequences) & set(HELD_OUT):
            raise ValueError(f"{HELD_OUT} is not to be learned from; ask for it with held_out=True")
        self.folder = Path(folder)
        chosen = choose(read_frames(self.folder), held_out)
        self.frames = [frame for frame in chosen if frame.sequence in sequences]
        table = read_classes(self.folder / "classes.csv")
        self._items = [self._read(frame, table) for frame in self.frames]

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        rgb, labels = self._items[index]
        return rgb.float() / 255, labels.long()

    def _read(self, frame: CamVidFrame, table: Tensor) -> tuple[Tensor, Tensor]:
        """A frame as uint8 (3, H, W) and uint8 (H, W)."""
        folder = self.folder / frame.sequence
        image, path = folder / "images" / f"{frame.name}.jpg", folder / "labels" / f"{frame.name}.png"
        rgb = (read_image(image) * 255).round().to(torch.uint8)
        try:
            with Image.open(path) as file:
                ids = pil_to_tensor(file)
        except OSError as error:
            raise InputError(f"{path}: cannot be read as a label image ({error})") from None
        if ids.dtype != torch.uint8 or ids.shape != (1, *rgb.shape[1:]):
            raise InputError(f"{path}: found {tuple(ids.shape)} {ids.dtype}, wanted 8-bit ids of {image.name}'s size")
        if int(ids.max()) >= len(table):
            raise InputError(f"{path}: found the id {int(ids.max())}, classes.csv ends at {len(table) - 1}")
        return rgb, table[ids[0].long()]


def read_frames(folder: Path) -> list[CamVidFrame]:
    """All frames that ``folder/frames.csv`` lists, by sequence and time.

    Raises:
        InputError: the file is missing or is another one.
    """
    rows = read_table(folder / "frames.csv", ("sequence", "name", "time_s"))
    try:
        frames = [CamVidFrame(row["sequence"], row["name"], float(row["time_s"])) for row in rows]
    except ValueError as error:
        raise InputError(f"{folder / 'frames.csv'}: a time is not a number ({error})") from None
    return sorted(frames, key=lambda frame: (frame.sequence, frame.time))


def choose(frames: list[CamVidFrame], held_out: bool) -> list[CamVidFrame]:
    """The held-out frames, or those to learn from; frames too near a held-out sequence are neither."""
    kept: list[CamVidFrame] = []
    for sequence in dict.fromkeys(frame.sequence for frame in frames):
        own = [frame for frame in frames if frame.sequence == sequence]
        if sequence in HELD_OUT:
            kept += own if held_out else []
            continue
        drive = sequence.partition("_")[0]
        spans = [
            (min(times), max(times))
            for other in HELD_OUT
            if other.partition("_")[0] == drive and (times := [f.time for f in frames if f.sequence == other])
        ]
        for index, frame in enumerate(own):
            near = any(first - GAP < frame.time < last + GAP for first, last in spans)
            if not near and (index % HELD_OUT_EVERY == 0) == held_out:
                kept.append(frame)
    return kept


def read_classes(path: Path) -> Tensor:
    """The table from CamVid's ids to ours, uint8 (ids,).

    Raises:
        InputError: the file is missing, or names a class that CamVid does not have.
    """
    table = []
    for index, row in enumerate(read_table(path, ("id", "name"))):
        if row["id"] != str(index) or row["name"] not in TARGETS:
            raise InputError(
                f"{path}: found {row['id']} {row['name']!r}, wanted {index} and one of {', '.join(TARGETS)}"
            )
        table.append(class_number(TARGETS[row["name"]]))
    return torch.tensor(table, dtype=torch.uint8)


def read_table(path: Path, columns: tuple[str, ...]) -> list[dict[str, str]]:
    """The rows of a CSV file.

    Raises:
        InputError: the file is missing, empty or lacks columns.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file; a CamVid folder holds frames.csv, classes.csv and SEQUENCE/images")
    with open(path, encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    if not rows or not set(columns) <= set(rows[0]):
        raise InputError(f"{path}: expected rows with the columns {', '.join(columns)}")
    return rows
