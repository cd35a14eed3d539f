"""Which label set a clip of label maps is in, when nobody says.

Colours speak for themselves. Small numbers do not: 0 to 10 are ids of every set, so a reading of them is judged by
the scene that it would show. A scene with the sky above and the road below is likely; one with the bed above and
the ceiling below is not.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from vid2vid.classes import CLASSES, NO_LABEL
from vid2vid.label_sets import BUILT_IN, UNKNOWN, LabelSet, built_in, class_number, unpack_colour

NEAR = 12.0  # a colour this far from one of the set (Euclidean, of 255) is that colour after a good video codec
MARGIN = 2.0  # nats by which a reading must beat those that would show something else
ENOUGH = 6  # classes to judge a scene by; each one fewer doubles, triples ... the margin
ALIKE = 0.999  # readings that agree on this share of the pixels are one
SIGHTS = 8.0  # how many independent pixels a clip is worth: its labels are large regions
TOGETHER = 0.5  # how much a class that is there or not says: where no car is, often no sign is either
PRESENT = 1e-4  # share of the pixels from which a class counts as seen

# Outdoor clips as one would guess them: how far down a class is seen (0 top, 1 bottom; mean, deviation), and for
# a street and for a landscape the share of the pixels in percent and the chance that it is there at all.
OUTDOORS = {
    "sky": (0.20, 0.18, 17, 0.95, 28, 0.95),
    "water": (0.70, 0.20, 1, 0.05, 12, 0.50),
    "sand": (0.75, 0.18, 0.5, 0.03, 4, 0.20),
    "grass": (0.75, 0.18, 4, 0.35, 16, 0.70),
    "field": (0.75, 0.18, 1, 0.10, 7, 0.40),
    "vegetation": (0.45, 0.22, 15, 0.90, 17, 0.85),
    "rock": (0.50, 0.25, 0.5, 0.05, 9, 0.60),
    "snow": (0.65, 0.25, 1, 0.05, 4, 0.20),
    "road": (0.80, 0.15, 27, 0.97, 2, 0.20),
    "marking": (0.80, 0.15, 1, 0.50, 0.1, 0.03),
    "pavement": (0.75, 0.18, 6, 0.90, 0.5, 0.05),
    "building": (0.38, 0.22, 20, 0.95, 2, 0.20),
    "fence": (0.58, 0.18, 2, 0.70, 0.5, 0.10),
    "pole": (0.42, 0.20, 1, 0.90, 0.1, 0.05),
    "sign": (0.40, 0.20, 0.5, 0.80, 0.05, 0.02),
    "car": (0.62, 0.16, 5, 0.90, 0.2, 0.05),
    "person": (0.60, 0.18, 1, 0.75, 0.2, 0.10),
    "bicycle": (0.62, 0.16, 0.5, 0.50, 0.02, 0.02),
}
# The same for pixels that the set leaves open, and for what has no class: indoors, animals.
OTHER = {NO_LABEL: (0.5, 0.3, 3, 0.5, 2, 0.3), UNKNOWN: (0.5, 0.3, 0.5, 0.1, 0.5, 0.1)}
UNEXPLAINED = 1e-3  # the share, in percent, of what the set does not even know


class Tally:
    """How often each value occurs in a clip, and where: exact, in memory that grows with the values alone."""

    def __init__(self) -> None:
        self.values = np.zeros(0, np.int64)
        # Sums over pixels of 1, of the row and of its square, the row from 0 at the top to 1 at the bottom.
        self.sums = np.zeros((0, 3))

    def add(self, values: np.ndarray) -> None:
        """Count a map (H, W) of whole numbers. Maps are mostly long runs, and runs are counted."""
        height, width = values.shape
        change = np.ones((height, width), bool)
        change[:, 1:] = values[:, 1:] != values[:, :-1]
        starts = np.flatnonzero(change)
        lengths = np.diff(starts, append=height * width)
        found, inverse = np.unique(values.reshape(-1)[starts], return_inverse=True)
        row = (starts // width + 0.5) / height
        added = np.stack([np.bincount(inverse, lengths * weight) for weight in (np.ones_like(row), row, row * row)], 1)
        values, place = np.unique(np.concatenate([self.values, found]), return_inverse=True)
        sums = np.zeros((len(values), 3))
        sums[place[: len(self.values)]] = self.sums
        sums[place[len(self.values) :]] += added
        self.values, self.sums = values, sums

    def summary(self) -> Summary:
        """What was counted."""
        counts, row, square = self.sums.T
        return Summary(self.values, counts.astype(np.int64), row / counts, square / counts)


@dataclass(frozen=True)
class Summary:
    """The values of a clip, ascending (K,): how many pixels each has, its mean row and mean squared row."""

    values: np.ndarray
    counts: np.ndarray
    row: np.ndarray
    square: np.ndarray

    @property
    def shares(self) -> np.ndarray:
        return self.counts / max(int(self.counts.sum()), 1)


@dataclass(frozen=True)
class Reading:
    """A clip read with one set, by "ids" or by "colours"."""

    set: LabelSet
    how: str
    known: float  # share of the pixels whose value the set has
    score: float  # nats: how likely the scene is that this reading shows
    classes: np.ndarray = field(repr=False)  # (K,) class number of every value, 254 unknown

    def __str__(self) -> str:
        return f"{self.set.name} by {self.how}"


def read_as(label_set: LabelSet, how: str, seen: Summary) -> Reading:
    """Judge one way to read a clip."""
    known = label_set.by(how)
    entries = [known.get(int(value)) for value in seen.values]
    classes = np.array([UNKNOWN if entry is None else class_number(entry.target) for entry in entries])
    there = np.array([entry is not None for entry in entries])
    score = max(likelihood(scene, seen, classes, there) for scene in (0, 1))
    if how == "colours":  # three bytes that agree by chance are rare; greys are not, they may be ids
        chromatic = [value for value in seen.values[there] if len(set(unpack_colour(int(value)))) > 1]
        score += 10 * min(len(chromatic), 4)
    return Reading(label_set, how, float(seen.shares[there].sum()), score, classes)


def likelihood(scene: int, seen: Summary, classes: np.ndarray, there: np.ndarray) -> float:
    """Log probability (nats) of a clip that shows these classes, in a street (0) or a landscape (1): naive Bayes."""
    total = 0.0
    for number in [*range(len(CLASSES)), NO_LABEL, UNKNOWN]:
        mean, deviation, *scenes = OTHER[number] if number in OTHER else OUTDOORS[CLASSES[number]]
        percent, chance = scenes[2 * scene : 2 * scene + 2]
        at = classes == number
        share = seen.shares[at]
        total += TOGETHER * np.log(chance if share.sum() > PRESENT else 1 - chance)
        # The mean over the pixels of log N(row; mean, deviation), from the moments.
        distance = seen.square[at] - 2 * mean * seen.row[at] + mean**2
        place = -distance / (2 * deviation**2) - np.log(deviation)
        total += SIGHTS * float((share * (np.log(np.where(there[at], percent, UNEXPLAINED) / 100) + place)).sum())
    return total


def snap(label_set: LabelSet, seen: Summary) -> tuple[np.ndarray, np.ndarray]:
    """The nearest colour of the set (packed) and the distance to it, for every colour that was seen.

    Returns:
        nearest: (K,) int64; distance: (K,) float64, Euclidean in RGB of 0..255.
    """
    own = np.array(sorted(label_set.by_colour()), np.int64)
    if not own.size:
        return np.zeros(len(seen.values), np.int64), np.full(len(seen.values), np.inf)
    colours = as_rgb(own)
    nearest, distance = np.empty(len(seen.values), np.int64), np.empty(len(seen.values))
    for start in range(0, len(seen.values), 1 << 15):
        part = slice(start, start + (1 << 15))
        squares = ((as_rgb(seen.values[part])[:, None] - colours) ** 2).sum(-1)
        best = squares.argmin(1)
        nearest[part], distance[part] = own[best], np.sqrt(squares[np.arange(len(best)), best])
    return nearest, distance


def near_colours(label_set: LabelSet, seen: Summary) -> tuple[Summary, float]:
    """A lossy clip with the colours that are near one of the set moved onto it, and their share of the pixels."""
    nearest, distance = snap(label_set, seen)
    close = distance <= NEAR
    values, inverse = np.unique(nearest[close], return_inverse=True)
    counts = np.bincount(inverse, seen.counts[close], len(values))
    row, square = (
        np.bincount(inverse, seen.counts[close] * moment[close], len(values)) / counts
        for moment in (seen.row, seen.square)
    )
    return Summary(values, counts.astype(np.int64), row, square), float(seen.shares[close].sum())


def as_rgb(packed: np.ndarray) -> np.ndarray:
    """Packed colours (K,) as (K, 3) int32."""
    return np.stack([packed >> 16, packed >> 8 & 255, packed & 255], -1).astype(np.int32)


def detect(ids: Summary | None, colours: Summary | None) -> Reading:
    """The one built-in set that a clip can be taken for.

    Args:
        ids: what was counted if the pixels are read as numbers; None if they cannot be.
        colours: the same for colours.

    Raises:
        ValueError: no set knows most of the values, or several do and would show different scenes.
    """
    clips = [(how, seen) for how, seen in (("ids", ids), ("colours", colours)) if seen is not None]
    readings = [read_as(built_in(name), how, seen) for how, seen in clips for name in BUILT_IN]
    possible = [reading for reading in readings if reading.known >= 0.9]
    if not possible:
        nearest = max(readings, key=lambda reading: reading.known)
        hint = f"; {nearest} knows {nearest.known:.0%} of the pixels" if nearest.known >= 0.2 else ""
        raise ValueError(f"the values are in no built-in label set{hint}")
    return choose(possible, dict(clips))


def detect_lossy(colours: Summary) -> Reading | None:
    """The set whose colours a lossy video was painted in: most pixels are near one of them. None if there is none."""
    near = {name: near_colours(built_in(name), colours) for name in BUILT_IN}
    most = max(share for _, share in near.values())
    if most < 0.8:
        return None
    readings = {name: read_as(built_in(name), "colours", seen) for name, (seen, share) in near.items() if share > 0}
    possible = [name for name in readings if near[name][1] >= most - 0.003]
    # Of two palettes that are near the same pixels, the smaller takes fewer blends at the borders for something else.
    return readings[min(possible, key=lambda name: (len(built_in(name).by_colour()), -near[name][1]))]


def choose(readings: Iterable[Reading], seen: dict[str, Summary]) -> Reading:
    """The likeliest reading, if those that come close to it would show the same."""
    ranked = sorted(readings, key=lambda reading: -reading.score)
    best = ranked[0]
    shown = len(np.unique(best.classes[seen[best.how].shares > PRESENT]))
    margin = MARGIN * max(1, ENOUGH + 1 - shown)
    rivals = [reading for reading in ranked if reading.score > best.score - margin]
    same = [r for r in rivals if r.how == best.how and agreement(r, best, seen[best.how]) >= ALIKE]
    different = [r for r in rivals if r not in same and not (r.set == best.set and r.how != best.how)]
    if different:
        names = ", ".join(str(reading) for reading in [best, *different])
        raise ValueError(f"the label set is not clear: the values fit {names}")
    return max(same, key=lambda reading: (round(reading.known, 6), -len(reading.set.entries)))


def agreement(one: Reading, other: Reading, seen: Summary) -> float:
    """Share of the pixels that two readings of the same values give the same class."""
    return float(seen.shares[one.classes == other.classes].sum())
