"""The vocabulary of the footage: what a pixel may show, whatever label set it came from."""

from __future__ import annotations

CLASSES = (
    "sky",
    "water",
    "sand",
    "grass",
    "field",
    "vegetation",
    "rock",
    "snow",
    "road",
    "marking",
    "pavement",
    "building",
    "fence",
    "pole",
    "sign",
    "car",
    "person",
    "bicycle",
)
NO_LABEL = 255

# What moves by itself and must not be remembered as part of the world.
MOVING = frozenset({"car", "person", "bicycle"})
# What lies flat, so that its distance follows from the row it is seen in.
GROUND = frozenset({"water", "sand", "grass", "field", "snow", "road", "marking", "pavement"})


def class_ids(names: frozenset[str] | tuple[str, ...]) -> tuple[int, ...]:
    """Indices of names in ``CLASSES``, ascending."""
    return tuple(k for k, name in enumerate(CLASSES) if name in names)
