"""Recipe: a detector, of what lights up at night or of where snow would lie, on rendered places made photographic."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import cv2
import torch
import torch.nn.functional as F
from torch import Tensor

from pipelines.training.augment import chance, uniform
from pipelines.training.run import EMA, Kit
from pipelines.training.segmenter import mix, photographic, recolour
from vid2vid.detector import Detector, DetectorConfig

# sRGB colours that show the first kinds in sample sheets.
SHOWN = ((1.0, 0.8, 0.3), (0.3, 1.0, 0.5), (1.0, 1.0, 1.0), (0.5, 0.8, 1.0), (1.0, 0.1, 0.1), (1.0, 0.0, 1.0))


@dataclass(frozen=True, eq=False)
class Place:
    """A picture and what is to be found in it.

    Attributes:
        rgb: (3, H, W) sRGB in [0, 1]; labels: (H, W) int64 ids of CLASSES.
        shares: (K, H, W) in [0, 1], of each pixel's area, by the detector's kinds.
    """

    rgb: Tensor
    labels: Tensor
    shares: Tensor


class Places(Protocol):
    """Places by number."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Place: ...


@dataclass(frozen=True)
class DetectorTraining:
    """What the recipe trains, and with which settings.

    Attributes:
        network: of the detector.
        batch, height, width: of the crops.
        smallest_crop: of a picture's sides.
        recolour: how far each class's colours and texture stray from the picture's.
        natural: share of the crops that come from photographs in which there is nothing, if there are any.
        mixed: share of the pictures into which things from another one are put.
        glazed: share of the pictures whose panes get another look, see ``glaze``.
        shaded: share of the pictures on which shadows fall, see ``shade``.
        rare: how much more what is not a window counts where it is.
        overlap_weight: of the soft Dice loss (Milletari et al. 2016) next to the cross-entropy.
    """

    network: DetectorConfig
    batch: int = 8
    height: int = 192
    width: int = 256
    smallest_crop: float = 0.3
    recolour: float = 0.2
    natural: float = 0.2
    mixed: float = 0.4
    glazed: float = 0.7
    shaded: float = 0.35
    rare: float = 2.0
    overlap_weight: float = 0.3
    learning_rate: float = 2e-3


class DetectorRecipe:
    """Cross-entropy and overlap with the true shares."""

    def __init__(self, kit: Kit, name: str, places: Places, nature: Places, config: DetectorTraining) -> None:
        self.kit, self.name, self.places, self.nature, self.config = kit, name, places, nature, config
        network = Detector(config.network).to(kit.device).to(memory_format=torch.channels_last)
        assert network.network.head.bias is not None
        torch.nn.init.constant_(network.network.head.bias, -3.0)  # most of a picture shows nothing of a kind
        self.modules = {"network": network}
        self.optimisers = {"network": torch.optim.AdamW(network.parameters(), config.learning_rate, weight_decay=1e-2)}
        self.ema = {"network": EMA(network, 0.995)}
        weight = torch.tensor([1.0 if kind == "window" else config.rare for kind in config.network.kinds])
        self.weight = weight[:, None, None].to(kit.device)

    def step(self, step: int, generator: torch.Generator) -> dict[str, Tensor]:
        rgb, shares = self.batch(self.config.batch, generator)
        rate = 0.5 * (1 + math.cos(math.pi * self.kit.progress)) * min(1.0, (step + 1) / 100)
        for group in self.optimisers["network"].param_groups:
            group["lr"] = self.config.learning_rate * rate
        with self.kit.autocast():
            logits = self.modules["network"](rgb)
        logits = logits.float()
        entropy = F.binary_cross_entropy_with_logits(logits, shares, pos_weight=self.weight)
        found = torch.sigmoid(logits)
        both = (found * shares).sum(dim=(0, 2, 3))
        either = (found.square() + shares.square()).sum(dim=(0, 2, 3))
        overlap = (2 * both + 1) / (either + 1)
        self.kit.descend(self.optimisers["network"], entropy + self.config.overlap_weight * (1 - overlap).mean())
        return {"cross_entropy": entropy.detach(), "first": overlap[0].detach(), "overlap": overlap.mean().detach()}

    def batch(self, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """``count`` crops: rgb (B, 3, H, W) and shares (B, K, H, W)."""
        samples = [self.example(generator) for _ in range(count)]
        rgb = torch.stack([s[0] for s in samples]).to(self.kit.device, memory_format=torch.channels_last)
        return rgb, torch.stack([s[1] for s in samples]).to(self.kit.device)

    def example(self, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """One crop, with other panes, other shadows, other colours, made photographic."""
        config = self.config
        rgb, labels, shares = self.crop(generator)
        if chance(generator, config.mixed):
            others = self.crop(generator)
            # The mix of labels tells where the other's things are now.
            mixed, _ = mix(torch.cat([rgb, shares]), labels, torch.cat([others[0], others[2]]), others[1], generator)
            rgb, shares = mixed[:3], mixed[3:]
        rgb = recolour(rgb, labels, config.recolour, generator)
        if chance(generator, config.glazed):
            rgb = glaze(rgb, shares[0], generator)
        if chance(generator, config.shaded):
            rgb = shade(rgb, generator)
        return photographic(rgb, generator), shares

    def crop(self, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """A part of one place, resized and mirrored: rgb, labels, shares."""
        config = self.config
        places = self.nature if self.nature and chance(generator, config.natural) else self.places
        place = places[int(torch.randint(len(places), (), generator=generator))]
        full = place.rgb.shape[-2:]
        height = round(full[0] * config.smallest_crop ** uniform(generator, 0, 1))
        width = min(full[1], round(height * config.width / config.height * uniform(generator, 0.85, 1.15)))
        top = int(torch.randint(full[0] - height + 1, (), generator=generator))
        left = int(torch.randint(full[1] - width + 1, (), generator=generator))
        both = torch.cat([place.rgb, place.shares])[None, :, top : top + height, left : left + width]
        labels = place.labels[None, None, top : top + height, left : left + width].float()
        size = (config.height, config.width)
        both = F.interpolate(both, size, mode="bilinear", antialias=True, align_corners=False)[0].clamp(0, 1)
        labels = F.interpolate(labels, size, mode="nearest-exact")[0, 0].long()
        if chance(generator, 0.5):
            both, labels = both.flip(-1), labels.flip(-1)
        return both[:3], labels, both[3:]

    @torch.no_grad()
    def sample(self, generator: torch.Generator) -> Tensor:
        """Columns of picture, what is there, what was found."""
        rgb, shares = self.batch(6, generator)
        with self.kit.autocast():
            found = torch.sigmoid(self.ema["network"].module(rgb).float())
        columns = [rgb, *(painted(x) for x in (shares, found))]
        return torch.cat([torch.cat(list(column), dim=1) for column in columns], dim=2).clamp(0, 1).cpu()

    def export(self, folder: Path) -> None:
        """The averaged network."""
        self.ema["network"].module.save_pretrained(folder, dtype=torch.bfloat16, overwrite=True)


def painted(shares: Tensor) -> Tensor:
    """Shares (B, K, H, W) as a picture (B, 3, H, W)."""
    return torch.einsum("bkhw,kc->bchw", shares, shares.new_tensor(SHOWN[: shares.shape[1]]))


def glaze(rgb: Tensor, panes: Tensor, generator: torch.Generator) -> Tensor:
    """Other windows in a picture (3, H, W): dark rooms, curtains, mirrored sky, each pane (H, W) a little different."""
    count, ids = cv2.connectedComponents((panes > 0.3).numpy().astype("uint8"))
    usual, spread = uniform(generator, 0.03, 0.7) ** 1.5, uniform(generator, 0.1, 1.5)
    tint = 1 + 0.25 * torch.randn(3, generator=generator) * uniform(generator, 0, 1)
    level = usual * torch.exp2(spread * torch.randn(count, 1, generator=generator))
    level = level * (1 + 0.1 * torch.randn(count, 3, generator=generator)) * tint
    pane = level[torch.from_numpy(ids).long()].permute(2, 0, 1)
    pane = pane * torch.exp2(uniform(generator, 0, 1.5) * clouds(panes.shape, 3.5, generator))
    return torch.lerp(rgb, pane.clamp(0, 1), panes * uniform(generator, 0.4, 1.0))


def shade(rgb: Tensor, generator: torch.Generator) -> Tensor:
    """Shadows of things out of sight, and stains, on a picture (3, H, W)."""
    edge = uniform(generator, 1, 12)
    shadow = torch.sigmoid(edge * (clouds(rgb.shape[-2:], uniform(generator, 1.5, 5), generator) - 0.4))
    return rgb * (1 - uniform(generator, 0.1, 0.6) * shadow)


def clouds(size: tuple[int, ...], octave: float, generator: torch.Generator) -> Tensor:
    """Smooth noise (H, W) of about unit variance, whose cells are ``2 ** octave`` times 4 pixels wide."""
    cells = [max(2, round(side / (4 * 2**octave))) for side in size[-2:]]
    grid = torch.randn(1, 1, *cells, generator=generator)
    return F.interpolate(grid, size=size[-2:], mode="bicubic", align_corners=False)[0, 0]
