"""How a real clip moves: flow to the previous frame, and where it can be trusted."""

from __future__ import annotations

import cv2
import torch
from torch import Tensor

from render_refine.warp import backward_warp, occluded

SAME_COLOUR = 0.08  # mean difference of colour at which two pixels are half trusted to show one point


def optical_flow(frame: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
    """Dense inverse search (DIS, Kroeger et al., ECCV 2016) both ways.

    Args:
        frame, other: (3, H, W) in [0, 1], at least 16 pixels a side.

    Returns:
        flow (2, H, W) in pixels from ``frame`` to ``other``, and (H, W) bool: flow and flow back agree.
    """
    estimate = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    grey = [cv2.cvtColor(_bytes(image), cv2.COLOR_RGB2GRAY) for image in (frame, other)]
    pairs = (grey, grey[::-1])
    there, back = (torch.from_numpy(estimate.calc(*pair, None)).permute(2, 0, 1)[None] for pair in pairs)  # type: ignore[call-overload]
    return there[0].to(frame.device), ~occluded(there, back)[0, 0].to(frame.device)


def trust(frame: Tensor, other: Tensor, flow: Tensor, visible: Tensor) -> Tensor:
    """How far the pixels of ``frame`` and those where the flow finds them are the same, by their colours.

    Args:
        frame, other: (B, 3, H, W) in [0, 1]; flow: (B, 2, H, W) from frame to other; visible: (B, 1, H, W).

    Returns:
        (B, 1, H, W) in [0, 1], 0 where not visible.
    """
    found, inside = backward_warp(other, flow)
    difference = (found - frame).abs().mean(dim=1, keepdim=True) / SAME_COLOUR
    return torch.exp2(-difference.square()) * visible * inside


def _bytes(image: Tensor):
    return (image.clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0).cpu().numpy()
