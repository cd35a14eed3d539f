"""Label sets: what the numbers and the colours of a label map mean, and which of our classes each becomes.

    cityscapes = built_in("cityscapes")
    cityscapes.entries[7]    # Entry(id=7, name='road', colour=(128, 64, 128), target='road')

Published sets know more than ``CLASSES``. An entry's target is the class that a viewer would take it for; "void"
says that the set itself leaves the pixel open; None says that nothing in ``CLASSES`` fits (a sofa, a zebra).
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache

import numpy as np

from vid2vid.classes import CLASSES, NO_LABEL
from vid2vid.label_tables import ade20k, coco_stuff, streets

Colour = tuple[int, int, int]
VOID = "void"
LARGEST_ID = 65535
# In tables of ids or colours: the set does not know this value, or it has no class for it.
UNKNOWN = 254

# Our own colours: near what the thing looks like, at least 65 of 255 apart from one another.
PALETTE: dict[str, Colour] = {
    "sky": (150, 205, 245),
    "water": (30, 100, 200),
    "sand": (240, 215, 150),
    "grass": (130, 205, 70),
    "field": (180, 150, 50),
    "vegetation": (25, 115, 55),
    "rock": (130, 120, 115),
    "snow": (240, 248, 255),
    "road": (60, 60, 75),
    "marking": (255, 240, 60),
    "pavement": (195, 165, 195),
    "building": (170, 85, 65),
    "fence": (145, 60, 145),
    "pole": (0, 165, 165),
    "sign": (255, 135, 0),
    "car": (205, 20, 55),
    "person": (255, 95, 185),
    "bicycle": (130, 20, 230),
}


@dataclass(frozen=True)
class Entry:
    """One label: its number in a file, its name and colour (R, G, B; 0..255), and the class it becomes."""

    id: int | None
    name: str
    colour: Colour | None
    target: str | None


@dataclass(frozen=True)
class LabelSet:
    """A named list of labels.

    Raises:
        ValueError: no entries, an entry with neither id nor colour, numbers out of range, an id that occurs
            twice, a colour that occurs twice for different classes, an unknown class.
    """

    name: str
    entries: tuple[Entry, ...]

    def __post_init__(self) -> None:
        if not self.entries:
            raise ValueError(f"label set {self.name!r} has no entries")
        ids: dict[int, Entry] = {}
        colours: dict[Colour, Entry] = {}
        for entry in self.entries:
            if entry.target is not None and entry.target != VOID:
                check_class(entry.target, f"the class of {entry.name!r}")
            if entry.id is None and entry.colour is None:
                raise ValueError(f"{entry.name!r} has neither an id nor a colour")
            if entry.id is not None:
                check_number(entry.id, LARGEST_ID, f"the id of {entry.name!r}")
                if entry.id in ids:
                    raise ValueError(f"{ids[entry.id].name!r} and {entry.name!r} have the same id {entry.id}")
                ids[entry.id] = entry
            if entry.colour is not None:
                if len(entry.colour) != 3:
                    raise ValueError(f"the colour of {entry.name!r} is {entry.colour}, expected [red, green, blue]")
                for part in entry.colour:
                    check_number(part, 255, f"the colour of {entry.name!r}")
                first = colours.setdefault(entry.colour, entry)
                if first.target != entry.target:
                    raise ValueError(
                        f"{first.name!r} and {entry.name!r} have the same colour {entry.colour} and different classes"
                    )

    def by_id(self) -> dict[int, Entry]:
        """The entries that have an id."""
        return {entry.id: entry for entry in self.entries if entry.id is not None}

    def by_colour(self) -> dict[int, Entry]:
        """The entries that have a colour, by ``pack_colour``; of several with one colour, the first."""
        coloured = [entry for entry in self.entries if entry.colour is not None]
        return {pack_colour(entry.colour): entry for entry in reversed(coloured) if entry.colour is not None}

    def by(self, how: str) -> dict[int, Entry]:
        """The entries by what a file holds: "ids" or "colours"."""
        return self.by_id() if how == "ids" else self.by_colour()


def class_number(target: str | None) -> int:
    """The number that a target has in our label maps: an index of ``CLASSES``, 255 for void, 254 for None."""
    if target is None:
        return UNKNOWN
    return NO_LABEL if target == VOID else CLASSES.index(target)


def pack_colour(colour: Colour) -> int:
    """A colour as one number, red in the highest of three bytes."""
    red, green, blue = colour
    return red << 16 | green << 8 | blue


def unpack_colour(packed: int) -> Colour:
    """The colour of ``pack_colour``."""
    return packed >> 16, packed >> 8 & 255, packed & 255


def palette() -> np.ndarray:
    """Our colours as (256, 3) uint8, row k for class k; black for all that is no class."""
    table = np.zeros((256, 3), np.uint8)
    table[: len(CLASSES)] = [PALETTE[name] for name in CLASSES]
    return table


def built_in(name: str) -> LabelSet:
    """A set by its name, one of ``BUILT_IN``.

    Raises:
        ValueError: another name.
    """
    if name not in BUILT_IN:
        raise ValueError(f"no label set {name!r}{suggestion(name, BUILT_IN)}; known are {', '.join(BUILT_IN)}")
    return made(name)


@cache
def made(name: str) -> LabelSet:
    return LabelSet(name, tuple(BUILT_IN[name]()))


def rows(table: str, first: int = 0) -> list[Entry]:
    """The entries of a table of lines ``name | colour | class``, numbered from ``first``."""
    entries = []
    for number, line in enumerate(table.strip().splitlines(), first):
        name, colour, target = (part.strip() for part in (line + "||").split("|")[:3])
        numbers = [int(part) for part in colour.split()]
        entries.append(Entry(number, name, (numbers[0], numbers[1], numbers[2]) if numbers else None, target or None))
    return entries


# The number that most sets give to pixels without a label, and the colour that tools paint them in.
NOTHING = Entry(NO_LABEL, "no label", (0, 0, 0), VOID)


def cityscapes_train() -> list[Entry]:
    """The trainIds: the named rows of the full set in another order, and black for the rest."""
    full = {entry.name: entry for entry in rows(streets.CITYSCAPES)}
    chosen = [full[name] for name in streets.CITYSCAPES_TRAIN]
    ordered = [Entry(number, entry.name, entry.colour, entry.target) for number, entry in enumerate(chosen)]
    return [*ordered, NOTHING]


def viewsynth() -> list[Entry]:
    """Our own classes in our own colours; black is no label."""
    ours = [Entry(number, name, PALETTE[name], name) for number, name in enumerate(CLASSES)]
    return [*ours, NOTHING]


BUILT_IN: dict[str, Callable[[], list[Entry]]] = {
    "viewsynth": viewsynth,
    "cityscapes": lambda: [*rows(streets.CITYSCAPES), NOTHING],
    "cityscapes-train": cityscapes_train,
    "camvid": lambda: rows(streets.CAMVID),
    "camvid32": lambda: rows(streets.CAMVID32),
    "carla": lambda: rows(streets.CARLA),
    "ade20k": lambda: [*rows(ade20k.TABLE), NOTHING],
    "ade20k-raw": lambda: [Entry(0, "void", (0, 0, 0), VOID), *rows(ade20k.TABLE, first=1)],
    "coco-stuff": lambda: [*rows(coco_stuff.TABLE), Entry(NO_LABEL, "no label", None, VOID)],
}


def from_json(data: object) -> LabelSet:
    """A set of the user's own, from parsed JSON.

    ``{"name": "mine", "entries": [{"id": 1, "name": "street", "colour": [128, 64, 128], "class": "road"}, ...]}``.
    An entry has an id, a colour, or both. Its class is one of ``CLASSES``, "void", or null for what has none.

    Raises:
        ValueError: another structure, or whatever ``LabelSet`` refuses.
    """
    if not isinstance(data, dict) or not isinstance(data.get("entries"), list):
        raise ValueError('expected {"name": ..., "entries": [...]}')
    check_keys(data, {"name", "entries"}, "a label set")
    name = data.get("name", "own")
    if not isinstance(name, str) or not name.strip():
        raise ValueError(f"the name of the set is {name!r}, expected text")
    entries = []
    for number, item in enumerate(data["entries"], 1):
        if not isinstance(item, dict):
            raise ValueError(f"entry {number} is {item!r}, expected an object")
        check_keys(item, {"id", "name", "colour", "class"}, f"entry {number}")
        if "class" not in item:
            raise ValueError(f'entry {number} has no "class"; give a class, "void" or null')
        label, colour, target = item.get("name", f"entry {number}"), item.get("colour"), item["class"]
        if not isinstance(label, str) or not (target is None or isinstance(target, str)):
            raise ValueError(f"entry {number}: name and class must be text")
        if colour is not None and not (isinstance(colour, list) and len(colour) == 3):
            raise ValueError(f"the colour of {label!r} is {colour!r}, expected [red, green, blue]")
        entries.append(Entry(item.get("id"), label, None if colour is None else tuple(colour), target))
    return LabelSet(name, tuple(entries))


def check_keys(item: dict, allowed: set[str], where: str) -> None:
    """Refuse a key that would be ignored, such as "color"."""
    for key in item:
        if key not in allowed:
            raise ValueError(f"{where} has an unknown key {key!r}{suggestion(str(key), allowed)}")


def check_number(value: object, largest: int, what: str) -> None:
    """Refuse all but whole numbers 0..largest."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= largest:
        raise ValueError(f"{what} holds {value!r}, expected whole numbers from 0 to {largest}")


def check_class(name: str, what: str) -> None:
    """Refuse what is not one of ``CLASSES``."""
    if name not in CLASSES:
        raise ValueError(f"{what} is {name!r}{suggestion(name, CLASSES)}; known are {', '.join(CLASSES)}")


def suggestion(name: str, known: Iterable[str]) -> str:
    """ ", did you mean ...?" where something known looks like it."""
    near = difflib.get_close_matches(name.lower(), list(known), n=1, cutoff=0.6)
    return f" (did you mean {near[0]!r}?)" if near else ""
