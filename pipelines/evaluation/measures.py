"""What footage is judged by, as plain functions of pictures, labels and motion.

Pictures are float in [0, 1]; differences are in levels of 255. Where there is nothing to measure (no visible
pixel) the result is nan, never a good mark.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor

from pipelines.perception.agreement import confusion
from pipelines.perception.segmentation import Segments
from render_refine.metrics import laplacian_energy
from render_refine.warp import backward_warp
from vid2vid.classes import moves
from vid2vid.optical_flow import optical_flow


def flicker(frames: Tensor, flow_back: Tensor, visible: Tensor) -> float:
    """Mean |warp(previous) - this| over the pixels that both frames see, then over pairs (Lai et al., ECCV 2018).

    Args:
        frames: (T, 3, H, W).
        flow_back: (T-1, 2, H, W) in pixels, from frame t + 1 to t; anything where not visible.
        visible: (T-1, H, W) bool, the point is seen in both.
    """
    if not len(frames) - 1 == len(flow_back) == len(visible):
        raise ValueError(f"{len(frames)} frames want one flow less, got {len(flow_back)} and {len(visible)}")
    errors = []
    for before, now, flow, seen in zip(frames[:-1], frames[1:], flow_back, visible, strict=True):
        warped, inside = backward_warp(before[None], flow[None])
        errors.append((warped[0] - now).abs().mean(dim=0)[seen & inside[0, 0]].mean())
    return 255 * float(torch.stack(errors).nanmean())


def detail(frames: Tensor) -> float:
    """Mean Laplacian energy of frames (T, 3, H, W): how much fine structure there is, wanted or not."""
    return float(torch.cat([laplacian_energy(frame[None]) for frame in frames]).mean())


def return_difference(frames: Tensor, mask: Tensor | None = None) -> float:
    """How much frames differ between the first and the last visit, when a clip is played 1..N..1.

    Args:
        frames: (2N - 1, 3, H, W); frames k and 2N - 2 - k show the same labels from the same place.
        mask: (N, H, W) bool, the pixels to compare; all when left out.

    Returns:
        mean |first - last| over frames 1..N-1 (the turning frame is visited once).
    """
    turn = len(frames) // 2
    if len(frames) != 2 * turn + 1:
        raise ValueError(f"1..N..1 has an odd number of frames, got {len(frames)}")
    difference = (frames[:turn] - frames.flip(0)[:turn]).abs().mean(dim=1)
    return 255 * float((difference if mask is None else difference[mask[:turn]]).mean())


def standing(labels: Tensor) -> Tensor:
    """Where labels (..., H, W) show nothing that moves by itself."""
    return ~moves(labels)


def relabelled(segmenter: Segments, frames: Tensor, labels: Tensor) -> Tensor:
    """Segment frames (T, 3, H, W) and count against the true labels (T, H, W); see ``agreement.confusion``."""
    tables = [confusion(truth, segmenter.segment(frame)) for frame, truth in zip(frames, labels, strict=True)]
    return torch.stack(tables).sum(dim=0)


def real_motion(frames: Tensor) -> tuple[Tensor, Tensor]:
    """Motion between real frames, as far as it can be told (DIS optical flow, Kroeger et al., ECCV 2016).

    Args:
        frames: (T, 3, H, W).

    Returns:
        flow_back (T-1, 2, H, W) from frame t + 1 to t, and visible (T-1, H, W) bool: forward and backward flow agree.
    """
    motion = [optical_flow(now, before) for before, now in pairwise(frames)]
    return torch.stack([flow for flow, _ in motion]), torch.stack([seen for _, seen in motion])
