"""The ways to give a clip another light: restyling, restyling less something, and the usual transfers of colour."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor

from pipelines.evaluation.colour_transfer import match_histograms, reinhard
from pipelines.evaluation.takes import levels
from pipelines.looks import Look
from pipelines.restyle import RestylePipeline

TRUE, UNCHANGED, REINHARD, HISTOGRAM = "true light", "unchanged", "reinhard", "histogram"
REFERENCE, RESTYLE = "restyle, reference", "restyle"
TRANSFERS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {REINHARD: reinhard, HISTOGRAM: match_histograms}


def restyled(
    pipeline: RestylePipeline,
    frames: Iterable[Tensor],
    look: Look,
    labels: Sequence[Tensor] | None = None,
    temporal: bool = True,
) -> Tensor:
    """Frames (3, H, W) as ``viewsynth restyle`` shows them, (T, 3, H, W) uint8."""
    frames = list(frames)
    shown = pipeline.stream(frames, [look] * len(frames), labels, temporal=temporal)
    return torch.stack([levels(rgb).cpu() for rgb in shown])


def transferred(method: str, frames: Iterable[Tensor], reference: Tensor) -> Tensor:
    """Frames (3, H, W) with the colours of a reference (3, h, w), each by itself, (T, 3, H, W) uint8."""
    return torch.stack([levels(TRANSFERS[method](rgb, reference)) for rgb in frames])
