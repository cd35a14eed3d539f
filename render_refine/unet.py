"""Dense prediction: an image in, one value (or several) per pixel out, such as depth from one photo.

The U-Net of Ronneberger, Fischer, Brox (MICCAI 2015) with residual blocks (He et al., CVPR 2016) and a
global context vector at the bottleneck (as ParseNet, Liu, Rabinovich, Berg 2015): whether a slope is near
or far is often decided at the other end of the picture.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from render_refine.pretrained import Pretrained
from render_refine.spade import pad_to_multiple

GROUP = 8


@dataclass(frozen=True)
class UNetConfig:
    """Shape of a ``UNet``.

    Attributes:
        in_channels, out_channels: channels of input and output.
        widths: channels per level, fine to coarse; each level halves the grid of the one before.
        norm: "batch" (running statistics), or "group" (groups of 8 channels; independent of the batch).
    """

    in_channels: int = 3
    out_channels: int = 1
    widths: tuple[int, ...] = (16, 32, 64, 128, 192)
    norm: Literal["batch", "group"] = "group"

    def __post_init__(self) -> None:
        if min(self.in_channels, self.out_channels, *self.widths) < 1:
            raise ValueError(f"every size must be positive: {self}")
        if self.norm == "group" and any(width % GROUP for width in self.widths):
            raise ValueError(f"group norm wants widths that divide by {GROUP}: {self}")


class ResBlock(nn.Module):
    """3x3 convolution, norm, ReLU, 3x3 convolution, norm, plus the (1x1-projected) input, ReLU."""

    def __init__(self, in_channels: int, out_channels: int, norm: str) -> None:
        super().__init__()
        self.conv_0 = nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False)
        self.norm_0 = _norm(norm, out_channels)
        self.conv_1 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.norm_1 = _norm(norm, out_channels)
        same = in_channels == out_channels
        self.conv_s = nn.Identity() if same else nn.Conv2d(in_channels, out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.norm_0(self.conv_0(x)))
        return F.relu(self.norm_1(self.conv_1(y)) + self.conv_s(x))


class GlobalContext(nn.Module):
    """Add to every pixel a learned function of the mean over all pixels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(channels, channels), nn.ReLU(), nn.Linear(channels, channels))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.mlp(x.mean(dim=(2, 3)))[:, :, None, None]


class UNet(Pretrained):
    """Encoder and decoder with skip connections, for images of any size.

    Down by stride-2 convolutions, up bilinearly. The input is padded by replication to a multiple of
    2^(levels - 1) and the output cropped.
    """

    config_type = UNetConfig

    def __init__(self, config: UNetConfig) -> None:
        super().__init__()
        self.config = config
        widths, norm = config.widths, config.norm
        self.stem = nn.Conv2d(config.in_channels, widths[0], 3, padding=1)
        self.encoder = nn.ModuleList(ResBlock(width, width, norm) for width in widths)
        pairs = list(pairwise(widths))
        self.down = nn.ModuleList(nn.Conv2d(fine, coarse, 3, stride=2, padding=1) for fine, coarse in pairs)
        self.context = GlobalContext(widths[-1])
        self.bottleneck = ResBlock(widths[-1], widths[-1], norm)
        self.reduce = nn.ModuleList(nn.Conv2d(coarse, fine, 1) for fine, coarse in pairs)
        self.decoder = nn.ModuleList(ResBlock(2 * fine, fine, norm) for fine in widths[:-1])
        self.head = nn.Conv2d(widths[0], config.out_channels, 3, padding=1)

    def forward(self, image: Tensor) -> Tensor:
        """image (B, in_channels, H, W) to (B, out_channels, H, W), the linear output of the last convolution."""
        if image.dim() != 4 or image.shape[1] != self.config.in_channels:
            raise ValueError(f"expected (B, {self.config.in_channels}, H, W), got {tuple(image.shape)}")
        height, width = image.shape[-2:]
        x = self.encoder[0](self.stem(pad_to_multiple(image, 2 ** len(self.down))))
        skips = []
        for down, block in zip(self.down, self.encoder[1:], strict=True):
            skips.append(x)
            x = block(down(x))
        x = self.bottleneck(self.context(x))
        for skip, reduce, block in reversed(list(zip(skips, self.reduce, self.decoder, strict=True))):
            # Fewer channels first: a 1x1 convolution commutes with bilinear interpolation.
            x = F.interpolate(reduce(x), size=skip.shape[-2:], mode="bilinear", align_corners=False)
            x = block(torch.cat([x, skip], dim=1))
        return self.head(x)[..., :height, :width]


def _norm(norm: str, channels: int) -> nn.Module:
    return nn.BatchNorm2d(channels) if norm == "batch" else nn.GroupNorm(channels // GROUP, channels)
