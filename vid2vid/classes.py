"""The vocabulary of the footage: what a pixel may show, whatever label set it came from."""

from __future__ import annotations

import torch
from torch import Tensor

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


def class_ids(names: frozenset[str] | tuple[str, ...]) -> tuple[int, ...]:
    """Indices of names in ``CLASSES``, ascending."""
    return tuple(k for k, name in enumerate(CLASSES) if name in names)


def moves(labels: Tensor) -> Tensor:
    """Which pixels of label maps, ids of ``CLASSES`` of any shape, show something that moves by itself: bool."""
    return torch.isin(labels, torch.tensor(class_ids(MOVING), device=labels.device))
