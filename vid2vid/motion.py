"""How the picture moves, told from the labels alone: flow to the previous frame and where it can be trusted.

vid2vid predicts flow from labels and past frames (Wang et al., NeurIPS 2018, section 3.2). Here the network
sees labels and the last flow only, so that it does not depend on the look, and one network, trained on worlds
with exact flow, serves every generator. Matching is not left to plain convolutions: as in FlowNetC (Dosovitskiy et
al., ICCV 2015) features of both frames are correlated over all small displacements.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from render_refine.pretrained import Pretrained
from render_refine.unet import UNet, UNetConfig
from render_refine.warp import backward_warp
from vid2vid.classes import CLASSES, NO_LABEL

RUN = 16  # pixels whose features are compared at once
COARSER = 4  # the network works on a grid this many times coarser than the frames
FLOW_UNIT = 2.0  # cells of that grid; keeps the network's numbers around 1


@dataclass(frozen=True)
class MotionConfig:
    """Shape of a ``MotionNetwork``.

    Attributes:
        features: channels that are compared between the frames.
        reach: largest displacement that is compared, in cells of 4 pixels.
        widths: of the U-Net that turns the comparison into flow.
    """

    features: int = 32
    reach: int = 4
    widths: tuple[int, ...] = (48, 64, 96, 128)

    @property
    def displacements(self) -> int:
        return (2 * self.reach + 1) ** 2


class Motion(NamedTuple):
    """Where the pixels of a frame were in the frame before.

    Attributes:
        flow: (B, 2, H, W) in pixels, from this frame to the previous one.
        logit: (B, 1, H, W), above 0 where the point was visible there.
    """

    flow: Tensor
    logit: Tensor


class MotionNetwork(Pretrained):
    """Compare two label maps, then explain the comparison by a U-Net."""

    config_type = MotionConfig

    def __init__(self, config: MotionConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = nn.Sequential(
            nn.Conv2d(len(CLASSES), 24, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(24, config.features, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(config.features, config.features, 3, padding=1),
        )
        self.network = UNet(UNetConfig(config.displacements + config.features + 2, 3, config.widths))

    def forward(self, labels: Tensor, previous: Tensor, last_flow: Tensor) -> Motion:
        """Predict the motion between two label maps.

        Args:
            labels, previous: one-hot (B, 18, H, W) of this frame and the one before.
            last_flow: (B, 2, H, W) the previous frame's own flow in pixels; zeros when there is none.
        """
        height, width = labels.shape[-2:]
        rows, columns = -(-height // COARSER), -(-width // COARSER)
        half = F.interpolate(torch.cat([labels, previous]), size=(2 * rows, 2 * columns), mode="area")
        now, before = self.encoder(half).chunk(2)
        flow = F.interpolate(last_flow, size=(rows, columns), mode="area") / (COARSER * FLOW_UNIT)
        matches = correlation(now, before, self.config.reach)
        out = self.network(torch.cat([matches, now, flow.to(now.dtype)], dim=1)).float()
        out = F.interpolate(out, size=(height, width), mode="bilinear", align_corners=False)
        return Motion(out[:, :2] * (COARSER * FLOW_UNIT), out[:, 2:])


def correlation(a: Tensor, b: Tensor, reach: int) -> Tensor:
    """How alike the feature of ``a`` at p and that of ``b`` at p + d are, for every small displacement d.

    <a(p), b(p + d)> / C with both normalised per pixel to mean 0 and variance 1 over the channels (FlowNetC,
    equation 1, with patches of one pixel); 0 outside.

    Args:
        a, b: (B, C, H, W).
        reach: largest displacement per axis, in pixels.

    Returns:
        (B, (2 reach + 1)^2, H, W) float32, displacements in rows from top left to bottom right.
    """
    a, b = (F.layer_norm(x.permute(0, 2, 3, 1), x.shape[1:2]) for x in (a, b))
    height, width = a.shape[1:3]
    side = 2 * reach + 1
    # Runs of pixels against the pixels within reach of them: small matrix products, of which the band is wanted.
    a = F.pad(a, (0, 0, 0, -width % RUN)).unflatten(2, (-1, RUN))
    b = F.pad(b, (0, 0, reach, reach + -width % RUN, reach, reach)).unfold(2, RUN + 2 * reach, RUN)
    rows = []
    with torch.autocast(a.device.type, enabled=False):
        for down in range(side):
            products = a @ b[:, down : down + height] / a.shape[-1]
            rows.append(torch.stack([products.diagonal(across, -2, -1) for across in range(side)], dim=1))
    return torch.cat(rows, dim=1).flatten(3)[..., :width]


def warp_previous(rgb: Tensor, labels: Tensor, previous: Tensor, flow: Tensor, trust: Tensor) -> Tensor:
    """The previous frame as this frame's pixels see it, with its validity.

    Both label maps are known exactly, so a pixel whose label is another one there is no match, whatever the
    network believes.

    Args:
        rgb: (B, 3, H, W) previous frame.
        labels, previous: (B, H, W) ids of this frame and the one before, 255 for none.
        flow: (B, 2, H, W) in pixels to the previous frame.
        trust: (B, 1, H, W) in [0, 1].

    Returns:
        (B, 4, H, W): colours, and validity in [0, 1].
    """
    # Bicubic, since what is handed from frame to frame is resampled again and again.
    colours, inside = backward_warp(rgb, flow, interpolation="bicubic")
    agreement = agreeing(labels, previous, flow)[:, None]
    return torch.cat([colours.clamp(0, 1), trust * agreement * inside], dim=1)


def agreeing(labels: Tensor, previous: Tensor, flow: Tensor) -> Tensor:
    """How much of what is found at the end of the flow has the pixel's label: (B, H, W) in [0, 1], bilinearly.

    Args:
        as `warp_previous`.
    """
    height, width = labels.shape[-2:]
    rows = torch.arange(height, device=flow.device)[:, None] + flow[:, 1]
    columns = torch.arange(width, device=flow.device) + flow[:, 0]
    top, left = rows.floor(), columns.floor()
    down, right = rows - top, columns - left
    known, before = labels != NO_LABEL, previous.flatten(1)
    total = torch.zeros_like(rows)
    for row, by_row in ((top, 1 - down), (top + 1, down)):
        for column, by_column in ((left, 1 - right), (left + 1, right)):
            place = row.clamp(0, height - 1).long() * width + column.clamp(0, width - 1).long()
            same = known & (before.gather(1, place.flatten(1)).view_as(labels) == labels)
            total += by_row * by_column * same
    return total
