"""How the picture moves, told from the labels alone: flow to the previous frame and where it can be trusted.

vid2vid predicts flow from labels and past frames (Wang et al., NeurIPS 2018, section 3.2). Here the network
sees labels and the last flow only, so that it does not depend on the look, and one network, trained on worlds
with exact flow, serves every generator.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from render_refine.pretrained import Pretrained
from render_refine.unet import UNet, UNetConfig
from render_refine.warp import backward_warp
from vid2vid.classes import CLASSES

COARSER = 4  # the network works on a grid this many times coarser than the frames
FLOW_UNIT = 8.0  # pixels of the coarse grid at 256 wide; keeps the network's numbers around 1


@dataclass(frozen=True)
class MotionConfig:
    """Shape of a ``MotionNetwork``: labels of both frames and the last flow in, flow and confidence out."""

    network: UNetConfig = field(default_factory=lambda: UNetConfig(2 * len(CLASSES) + 2, 3, (24, 32, 48, 64, 96)))


class Motion(NamedTuple):
    """Where the pixels of a frame were in the frame before.

    Attributes:
        flow: (B, 2, H, W) in pixels, from this frame to the previous one.
        logit: (B, 1, H, W), above 0 where the point was visible there.
    """

    flow: Tensor
    logit: Tensor


class MotionNetwork(Pretrained):
    """A small U-Net over label maps."""

    config_type = MotionConfig

    def __init__(self, config: MotionConfig) -> None:
        super().__init__()
        self.config = config
        self.network = UNet(config.network)

    def forward(self, labels: Tensor, previous: Tensor, last_flow: Tensor) -> Motion:
        """Predict the motion between two label maps.

        Args:
            labels, previous: one-hot (B, 18, H, W) of this frame and the one before.
            last_flow: (B, 2, H, W) the previous frame's own flow in pixels; zeros when there is none.
        """
        height, width = labels.shape[-2:]
        size = (-(-height // COARSER), -(-width // COARSER))
        coarse = [F.interpolate(x, size=size, mode="area") for x in (labels, previous, last_flow)]
        coarse[2] = coarse[2] / (COARSER * FLOW_UNIT)
        out = self.network(torch.cat(coarse, dim=1)).float()
        out = F.interpolate(out, size=(height, width), mode="bilinear", align_corners=False)
        return Motion(out[:, :2] * (COARSER * FLOW_UNIT), out[:, 2:])


def warp_previous(rgb: Tensor, labels: Tensor, previous: Tensor, flow: Tensor, trust: Tensor) -> Tensor:
    """The previous frame as this frame's pixels see it, with its validity.

    Both label maps are known exactly, so a pixel whose label is another one there is no match, whatever the
    network believes.

    Args:
        rgb: (B, 3, H, W) previous frame.
        labels, previous: one-hot (B, 18, H, W) of this frame and the one before.
        flow: (B, 2, H, W) in pixels to the previous frame.
        trust: (B, 1, H, W) in [0, 1].

    Returns:
        (B, 4, H, W): colours, and validity in [0, 1].
    """
    moved, inside = backward_warp(torch.cat([rgb, previous], dim=1), flow)
    agreement = (moved[:, 3:] * labels).sum(dim=1, keepdim=True)
    return torch.cat([moved[:, :3], trust * agreement * inside], dim=1)
