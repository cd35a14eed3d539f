"""Recipe: depth from one photo, learned on procedural landscapes, streets and interiors with exact depth."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from pipelines.training.augment import another_sky, chance, grade, haze, sensor, uniform
from pipelines.training.pictures import Pictures
from pipelines.training.run import EMA, Kit
from render_refine.losses import gradient_matching, scale_invariant_log
from render_refine.unet import UNet, UNetConfig


@dataclass(frozen=True)
class DepthConfig:
    """What the depth recipe trains, and with which settings."""

    network: UNetConfig = field(default_factory=lambda: UNetConfig(3, 2))
    batch: int = 6
    height: int = 160
    width: int = 256
    learning_rate: float = 4e-4
    gradient_weight: float = 0.5
    sky_weight: float = 0.5


class DepthRecipe:
    """A U-Net that gives log depth (up to a constant) and a sky logit."""

    name = "depth"

    def __init__(self, kit: Kit, pictures: Pictures, config: DepthConfig) -> None:
        self.kit, self.pictures, self.config = kit, pictures, config
        network = UNet(config.network).to(kit.device).to(memory_format=torch.channels_last)
        self.modules = {"network": network}
        self.optimisers = {"network": torch.optim.AdamW(network.parameters(), config.learning_rate, weight_decay=1e-3)}
        self.ema = {"network": EMA(network, 0.999)}

    def step(self, step: int, generator: torch.Generator) -> dict[str, Tensor]:
        rgb, depth = self.batch(self.config.batch, generator)
        # Half a cosine from the full rate to nothing (Loshchilov & Hutter 2017), after a short warm-up.
        rate = 0.5 * (1 + math.cos(math.pi * self.kit.progress)) * min(1.0, (step + 1) / 200)
        for group in self.optimisers["network"].param_groups:
            group["lr"] = self.config.learning_rate * rate
        with self.kit.autocast():
            out = self.modules["network"](rgb * 2 - 1).float()
        log_depth, sky_logit = out[:, 0], out[:, 1]
        sky = torch.isinf(depth)
        target = torch.where(sky, torch.ones_like(depth), depth)
        shape = scale_invariant_log(log_depth.exp(), depth, variance_weight=0.9)
        edges = gradient_matching(log_depth, target.log(), ~sky)
        sky_loss = F.binary_cross_entropy_with_logits(sky_logit, sky.float())
        loss = shape + self.config.gradient_weight * edges + self.config.sky_weight * sky_loss
        self.kit.descend(self.optimisers["network"], loss)
        return {"shape": shape.detach(), "edges": edges.detach(), "sky": sky_loss.detach()}

    def batch(self, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """``count`` graded crops: rgb (B, 3, H, W) and depth (B, H, W), near ground at depth 1."""
        samples = [self.example(generator) for _ in range(count)]
        rgb = torch.stack([s[0] for s in samples]).to(self.kit.device, memory_format=torch.channels_last)
        return rgb, torch.stack([s[1] for s in samples]).to(self.kit.device)

    def example(self, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """One frame of the set, cropped, mirrored and made photographic."""
        rgb, depth = self.pictures[int(torch.randint(len(self.pictures), (), generator=generator))]
        scale = uniform(generator, 0.55, 1.0)
        height, width = round(scale * rgb.shape[1]), round(scale * rgb.shape[2])
        top = int(torch.randint(rgb.shape[1] - height + 1, (), generator=generator))
        left = int(torch.randint(rgb.shape[2] - width + 1, (), generator=generator))
        rgb, depth = (x[..., top : top + height, left : left + width] for x in (rgb, depth))
        size = (self.config.height, self.config.width)
        rgb = F.interpolate(rgb[None], size=size, mode="bilinear", align_corners=False)[0]
        depth = F.interpolate(depth[None, None], size=size, mode="nearest-exact")[0, 0]
        if chance(generator, 0.5):
            rgb, depth = rgb.flip(-1), depth.flip(-1)
        if chance(generator, 0.5):
            rgb = haze(rgb, depth, generator)
        if chance(generator, 0.35):
            rgb = another_sky(rgb, depth, generator)
        rgb = sensor(grade(rgb, generator), generator)
        finite = depth[torch.isfinite(depth)]
        unit = finite.quantile(0.1) if len(finite) else 1.0
        # Beyond a few hundred times the nearest depth there is no parallax to get right.
        return rgb, torch.where(torch.isinf(depth), depth, (depth / unit).clamp(0.05, 400))

    def sample(self, generator: torch.Generator) -> Tensor:
        """Rows of photo, true disparity, predicted disparity."""
        rgb, depth = self.batch(6, generator)
        with self.kit.autocast():
            out = self.ema["network"].module(rgb * 2 - 1).float()
        predicted = torch.where(out[:, 1] > 0, torch.inf, out[:, 0].exp())
        rows = [rgb] + [self._shown(d)[:, None].expand_as(rgb) for d in (depth, predicted)]
        return torch.cat([torch.cat(list(x), dim=1) for x in rows], dim=2).clamp(0, 1).cpu()

    @staticmethod
    def _shown(depth: Tensor) -> Tensor:
        disparity = 1 / depth
        top = disparity.flatten(1).quantile(0.95, dim=1).clamp_min(1e-6)
        return (disparity / top[:, None, None]) ** 0.5

    def export(self, folder: Path) -> None:
        self.ema["network"].module.save_pretrained(folder, dtype=torch.bfloat16, overwrite=True)
