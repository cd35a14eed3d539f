"""A small network that finds kinds of things in a picture: what gives light at night, where snow would lie."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from render_refine.precision import autocast
from render_refine.pretrained import Pretrained
from render_refine.unet import UNet, UNetConfig

CELL = 2  # pixels a side that become one cell of the network's finest level


@dataclass(frozen=True)
class DetectorConfig:
    """Shape of a ``Detector``.

    Attributes:
        kinds: names of what it finds.
        side: pixels of the shorter side of a picture at the size that the network looks at.
        widths: channels per level, fine to coarse.
    """

    kinds: tuple[str, ...]
    side: int = 320
    widths: tuple[int, ...] = (16, 24, 48, 64, 96)

    def __post_init__(self) -> None:
        if self.side < 32 or not self.kinds:
            raise ValueError(f"expected kinds and a side of 32 pixels or more, got {self.kinds}, {self.side}")


class Detector(Pretrained):
    """A U-Net on cells of 2x2 pixels (Shi et al. 2016), which answers for every pixel of a cell."""

    config_type = DetectorConfig

    def __init__(self, config: DetectorConfig) -> None:
        super().__init__()
        self.config = config
        self.cells = nn.PixelUnshuffle(CELL)
        self.network = UNet(UNetConfig(3 * CELL**2, len(config.kinds) * CELL**2, config.widths, "batch"))
        self.pixels = nn.PixelShuffle(CELL)

    def forward(self, rgb: Tensor) -> Tensor:
        """rgb (B, 3, H, W) in [0, 1], even sides, to logits (B, K, H, W) of each kind's share of a pixel."""
        return self.pixels(self.network(self.cells(rgb * 2 - 1)))

    @torch.no_grad()
    def shares(self, small: Tensor) -> Tensor:
        """small (3, h, w) sRGB in [0, 1] at the working size, even sides, to shares (K, h, w) in [0, 1]."""
        with autocast(small.device):
            logits = self(small[None].contiguous(memory_format=torch.channels_last))
        return torch.sigmoid(logits.float())[0]
