"""Label maps in, of any label set: a folder or pattern of PNGs, one PNG, or a video. (Out: ``label_sink.py``.)

    labels = open_labels("labels/")
    print(labels.describe())    # labels: camvid, by ids, 101 frames of 360x480
    for frame in labels:        # (H, W) int64, indices of CLASSES, 255 no label

A label is exact or wrong, so nothing is guessed quietly. A first pass counts every value of every frame; what the
set does not know, or has no class for, stops the run with a list before any work is done.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from pipelines.errors import InputError
from pipelines.media.images import read_bytes
from pipelines.media.label_files import Input, open_input
from pipelines.media.label_sink import LabelSink, colourise, open_label_sink
from vid2vid.classes import CLASSES, NO_LABEL
from vid2vid.label_detection import (
    NEAR,
    Reading,
    Summary,
    Tally,
    detect,
    detect_lossy,
    read_as,
    snap,
)
from vid2vid.label_sets import (
    BUILT_IN,
    LARGEST_ID,
    UNKNOWN,
    VOID,
    LabelSet,
    built_in,
    class_number,
    from_json,
    suggestion,
    unpack_colour,
)

__all__ = ["LabelSink", "LabelSource", "colourise", "label_set", "open_label_sink", "open_labels"]

LARGEST_SET = 2**20  # bytes of JSON
MOST_COLOURS = 2**20  # a video with more is no label video
FAR = 16.0  # mean distance to the nearest colours (Euclidean, of 255) beyond which a video is no label video
LISTED = 6  # values that one message names


def label_set(name_or_path: str | Path) -> LabelSet:
    """A built-in set by name, or a user's own by its JSON file (see ``from_json``).

    Raises:
        InputError: no such set, or a file that is not one; the line says what is wrong in it.
    """
    name = str(name_or_path)
    if name in BUILT_IN or (Path(name).suffix.lower() != ".json" and not Path(name).is_file()):
        try:
            return built_in(name)
        except ValueError as error:
            raise InputError(f"{error}; or a JSON file of your own") from None
    path = Path(name)
    data = read_bytes(path, "a label set as JSON", LARGEST_SET)
    try:
        return from_json(json.loads(data.decode("utf-8")))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: not a label set: {error or 'nested too deeply'}") from None


def open_labels(
    path: Path | str,
    labels_set: LabelSet | str | Path | None = None,
    *,
    unmapped: str = "stop",
    nearest_colour: bool = False,
) -> LabelSource:
    """Open label maps and check all of them.

    Args:
        path: a folder of PNGs (in the natural order of their names), a pattern such as ``labels/%06d.png`` (its
            numbers must be complete), one PNG, or a video. A PNG holds ids in 8 or 16 bits of grey, ids or
            colours in a palette, or colours; RGB with three equal channels, or with red alone, is ids.
        labels_set: what the values mean: a set, or its name or JSON file; None detects a built-in set.
        unmapped: what becomes of values that have no class: "stop" the run, "void" (no label), or a class.
        nearest_colour: take every colour for the nearest one of the set, as lossy video needs.

    Raises:
        InputError: unreadable, damaged or cut short, a missing number, frames of different sizes, a set that is
            not clear, values without a class, a video that holds no labels.
    """
    if unmapped not in ("stop", VOID, *CLASSES):
        known = ("stop", VOID, *CLASSES)
        raise InputError(f"--unmapped {unmapped}{suggestion(unmapped, known)}; expected one of {', '.join(known)}")
    chosen = label_set(labels_set) if isinstance(labels_set, str | Path) else labels_set
    source = open_input(Path(path))
    clip = scan(source)
    if nearest_colour:
        return nearest(source, clip, chosen, unmapped)
    reading = interpret(source, clip, chosen)
    seen = clip.seen(reading.how)
    classes = fill(source, reading.set, reading.how, seen, seen.values, reading.classes, unmapped)
    return LabelSource(source, clip, reading.set, reading.how, classes)


@dataclass(frozen=True)
class Clip:
    """What the first pass found: the size and count of the frames, and the values that occur in them."""

    frames: int
    height: int
    width: int
    ids: Summary | None
    colours: Summary | None

    def seen(self, how: str) -> Summary:
        """The values of "ids" or "colours"."""
        summary = self.ids if how == "ids" else self.colours
        assert summary is not None
        return summary


class LabelSource:
    """Checked label maps; iterate for the frames, as often as wanted. One frame is in memory at a time.

    Attributes:
        frames: how many there are, exact; height, width: of every one.
        fps: of a video; None for PNGs.
        set, how: the label set, and whether the file holds "ids" or "colours".
        counts: (18,) int64, the pixels of every class of ``CLASSES`` in all frames.
    """

    def __init__(
        self,
        source: Input,
        clip: Clip,
        label_set: LabelSet,
        how: str,
        classes: np.ndarray,
        note: str = "",
    ) -> None:
        self.frames, self.height, self.width = clip.frames, clip.height, clip.width
        self.fps: Fraction | None = source.fps
        self.set, self.how = label_set, how
        self._source, self._note = source, note
        self._table = np.full(LARGEST_ID + 1 if how == "ids" else 1 << 24, UNKNOWN, np.uint8)
        seen = clip.seen(how)
        self._table[seen.values] = classes
        counts = [int(seen.counts[classes == number].sum()) for number in range(len(CLASSES))]
        self.counts = torch.tensor(counts)

    def __iter__(self) -> Iterator[Tensor]:
        for name, pixels in self._source.frames():
            values = pixels.ids if self.how == "ids" else pixels.colours
            if values is None or values.shape != (self.height, self.width):
                raise InputError(f"{name}: the file has changed since it was checked")
            classes = self._table[values]
            if bool((classes == UNKNOWN).any()):
                raise InputError(f"{name}: the file has changed since it was checked")
            yield torch.from_numpy(classes.astype(np.int64))

    def describe(self) -> str:
        """One line that says how the labels are read."""
        frames = "1 frame" if self.frames == 1 else f"{self.frames:,} frames"
        return f"labels: {self.set.name}, by {self.how}, {frames} of {self.height}x{self.width}{self._note}"


def scan(source: Input) -> Clip:
    """Read every frame once and count its values."""
    ids: Tally | None = Tally()
    colours: Tally | None = Tally()
    size, frames = (0, 0), 0
    for name, pixels in source.checked_frames():
        found = pixels.shape
        if frames and found != size:
            raise InputError(f"{name}: found {found[0]}x{found[1]} pixels, the frames before have {size[0]}x{size[1]}")
        size, frames = found, frames + 1
        ids = add(ids, pixels.ids)
        colours = add(colours, pixels.colours)
        if ids is None and colours is None:
            raise InputError(f"{name}: some maps hold colours and some 16-bit ids; one input holds one kind")
        if colours is not None and len(colours.values) > MOST_COLOURS:
            raise InputError(f"{name}: more than {MOST_COLOURS:,} colours; this is footage, not labels")
    if not frames:
        raise InputError(f"{source.path}: there are no frames in it")
    numbers = ids.summary() if ids is not None else None
    paints = colours.summary() if colours is not None else None
    if numbers is not None and paints is not None and grey(paints):
        paints = None  # a map of numbers, whatever greys a set may have
    return Clip(frames, *size, numbers, paints)


def add(tally: Tally | None, values: np.ndarray | None) -> Tally | None:
    """Count a frame; a clip that cannot be read this way in every frame cannot be read this way."""
    if tally is None or values is None:
        return None
    tally.add(values)
    return tally


def interpret(source: Input, clip: Clip, label_set: LabelSet | None) -> Reading:
    """How to read the clip: by the set that was named, or by the one that it can be taken for."""
    colours = clip.colours
    if clip.ids is None and colours is not None and grey(colours) and source.rounded:
        raise InputError(
            f"{source.path}: a grey video in {source.rounded}, where numbers are rounded; ids need PNG or FFV1 gray"
        )
    if label_set is not None:
        ways = (("ids", clip.ids), ("colours", colours))
        readings = [read_as(label_set, how, seen) for how, seen in ways if seen is not None and label_set.by(how)]
        if not readings:
            what = "colours" if clip.ids is None else "ids"
            raise InputError(f"{source.path}: it holds {what}, and the label set {label_set.name} has none")
        return max(readings, key=lambda reading: (round(reading.known, 3), reading.score))
    try:
        return detect(clip.ids, colours)
    except ValueError as error:
        lossy = detect_lossy(colours) if colours is not None and clip.ids is None else None
        if lossy is not None and colours is not None:
            return read_as(lossy.set, "colours", colours)
        raise InputError(f"{source.path}: {error}; say --labels-set NAME or --labels-set FILE.json") from None


def grey(colours: Summary) -> bool:
    """Whether no pixel has a hue."""
    return all(len(set(unpack_colour(int(value)))) == 1 for value in colours.values[:1000])


def nearest(source: Input, clip: Clip, label_set: LabelSet | None, unmapped: str) -> LabelSource:
    """Read the clip by the nearest colours of the set."""
    seen = clip.colours
    if seen is None:
        raise InputError(f"{source.path}: it holds ids, and --nearest-colour is for colours")
    if label_set is None:
        found = detect_lossy(seen)
        if found is None:
            raise InputError(f"{source.path}: the colours are near no built-in label set; say --labels-set")
        label_set = found.set
    if not label_set.by_colour():
        raise InputError(f"{source.path}: the label set {label_set.name} has no colours to take the nearest of")
    colours, distance = snap(label_set, seen)
    mean = float((distance * seen.shares).sum())
    if mean > FAR:
        raise InputError(
            f"{source.path}: the pixels are {mean:.0f} of 255 from the colours of {label_set.name} on average, "
            f"at most {FAR:.0f} is a label video"
        )
    entries = label_set.by_colour()
    classes = np.array([class_number(entries[int(colour)].target) for colour in colours])
    classes = fill(source, label_set, "colours", seen, colours, classes, unmapped)
    changed = float(seen.shares[distance > 0].sum())
    note = f", {changed:.1%} of the pixels moved to the nearest colour"
    return LabelSource(source, clip, label_set, "colours", classes, note)


def fill(
    source: Input,
    label_set: LabelSet,
    how: str,
    seen: Summary,
    values: np.ndarray,
    classes: np.ndarray,
    unmapped: str,
) -> np.ndarray:
    """Give values without a class the one that was asked for, or stop and list them.

    Args:
        values: (K,) what each seen value is taken for; classes: (K,) its class number, 254 for none.

    Returns:
        (K,) class numbers, none of them 254.
    """
    missing = classes == UNKNOWN
    if not missing.any():
        return classes
    if unmapped != "stop":
        return np.where(missing, NO_LABEL if unmapped == VOID else CLASSES.index(unmapped), classes)
    known = label_set.by(how)
    if how == "colours" and np.array_equal(values, seen.values):
        _, distance = snap(label_set, seen)
        foreign = np.array([int(value) not in known for value in values])
        close = float(seen.shares[distance <= NEAR].sum())
        if foreign.sum() > len(known) and close >= 0.8:
            raise InputError(
                f"{source.path}: the colours look lossy: {seen.shares[foreign].sum():.1%} of the pixels are beside "
                f"the colours of {label_set.name}; say --nearest-colour, or write the labels as PNG or FFV1"
            )
    counts: dict[int, int] = {}
    for value, count in zip(values[missing], seen.counts[missing], strict=True):
        counts[int(value)] = counts.get(int(value), 0) + int(count)
    parts = []
    for strange in (True, False):
        found = sorted(((n, v) for v, n in counts.items() if (v not in known) == strange), reverse=True)
        if not found:
            continue
        listed = ", ".join(f"{show(value, how, known)} {count:,} px" for count, value in found[:LISTED])
        more = f" and {len(found) - LISTED} more" if len(found) > LISTED else ""
        noun = how if len(found) > 1 else how[:-1]
        verb = "are" if len(found) > 1 else "is"
        what = f"{verb} not in {label_set.name}" if strange else f"of {label_set.name} {verb} without a class here"
        parts.append(f"{len(found)} {noun} {what}: {listed}{more}")
    raise InputError(f"{source.path}: {'; '.join(parts)}; say --unmapped void or --unmapped CLASS")


def show(value: int, how: str, known: dict) -> str:
    """A value for a message: its number or (r,g,b), and its name in the set."""
    text = "({},{},{})".format(*unpack_colour(value)) if how == "colours" else str(value)
    return f"{text} {known[value].name}" if value in known else text
