"""A small network that finds, in a picture by day, what gives light at night: windows, shops, lamps, cars' lights."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from render_refine.precision import autocast
from render_refine.pretrained import Pretrained
from render_refine.unet import UNet, UNetConfig

KINDS = ("window", "shop", "lamp", "headlight", "tail light", "signal")  # a signal is the lit disc of a traffic light
CELL = 2  # pixels a side that become one cell of the network's finest level


@dataclass(frozen=True)
class LightsDetectorConfig:
    """Shape of a ``LightsDetector``.

    Attributes:
        side: pixels of the shorter side of a picture at the size that the network looks at.
        widths: channels per level, fine to coarse.
    """

    side: int = 320
    widths: tuple[int, ...] = (16, 24, 48, 64, 96)

    def __post_init__(self) -> None:
        if self.side < 32:
            raise ValueError(f"expected a side of 32 pixels or more, got {self.side}")


class LightsDetector(Pretrained):
    """A U-Net on cells of 2x2 pixels (Shi et al. 2016), which answers for every pixel of a cell."""

    config_type = LightsDetectorConfig

    def __init__(self, config: LightsDetectorConfig) -> None:
        super().__init__()
        self.config = config
        self.cells = nn.PixelUnshuffle(CELL)
        self.network = UNet(UNetConfig(3 * CELL**2, len(KINDS) * CELL**2, config.widths, "batch"))
        self.pixels = nn.PixelShuffle(CELL)

    def forward(self, rgb: Tensor) -> Tensor:
        """rgb (B, 3, H, W) in [0, 1], even sides, to logits (B, K, H, W) of the share that gives light, by KINDS."""
        return self.pixels(self.network(self.cells(rgb * 2 - 1)))

    @torch.no_grad()
    def shares(self, small: Tensor) -> Tensor:
        """small (3, h, w) sRGB in [0, 1] at the working size, even sides, to shares (K, h, w) in [0, 1]."""
        with autocast(small.device):
            logits = self(small[None].contiguous(memory_format=torch.channels_last))
        return torch.sigmoid(logits.float())[0]
