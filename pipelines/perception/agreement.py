"""How well label maps agree with the truth: intersection over union and pixel accuracy, from one table of counts."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from vid2vid.classes import CLASSES, NO_LABEL


def confusion(labels: Tensor, predicted: Tensor, classes: int = len(CLASSES)) -> Tensor:
    """Count the pixels of every pair of a true and a predicted class. Tables of several images may be added.

    Args:
        labels: true ids, int64 of any shape, 0 to classes - 1; pixels of 255 are not counted.
        predicted: ids of the same shape; 255 is "no answer", a miss whatever the truth.
        classes: how many there are.

    Returns:
        (classes, classes + 1) int64: row = truth, column = prediction, the last column "no answer".

    Raises:
        ValueError: shapes that differ, or ids outside the range.
    """
    if labels.shape != predicted.shape:
        raise ValueError(f"labels {tuple(labels.shape)} and predictions {tuple(predicted.shape)} differ in shape")
    for ids in (labels, predicted):
        if bool((((ids < 0) | (ids >= classes)) & (ids != NO_LABEL)).any()):
            raise ValueError(f"an id is outside 0..{classes - 1}")
    known = labels != NO_LABEL
    truth, answer = labels[known], predicted[known]
    answer = torch.where(answer == NO_LABEL, classes, answer)
    counts = torch.bincount(truth * (classes + 1) + answer, minlength=classes * (classes + 1))
    return counts.reshape(classes, classes + 1)


def iou(table: Tensor) -> Tensor:
    """Intersection over union (C,) float64 of each class of a table of counts; nan for those without a true pixel."""
    hits = table.diagonal().double()
    union = table.sum(dim=1) + table[:, :-1].sum(dim=0) - hits
    return torch.where(table.sum(dim=1) > 0, hits / union.clamp_min(1), math.nan)


def mean_iou(table: Tensor) -> float:
    """The mean of ``iou`` over the classes that the truth shows; nan when it shows none."""
    return float(iou(table).nanmean())


def pixel_accuracy(table: Tensor) -> float:
    """The share of the labelled pixels that are right; nan when there are none."""
    total = int(table.sum())
    return float(table.diagonal().sum()) / total if total else math.nan
