"""Recipe: what every pixel shows, learned from labelled pictures, real (CamVid) or procedural (streets, landscapes)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import kornia
import torch
import torch.nn.functional as F
from torch import Tensor

from pipelines.media.label_sink import colourise
from pipelines.perception.segmentation import CELL, Segmenter, SegmenterConfig
from pipelines.training.augment import chance, grade, jpeg, sensor, uniform
from pipelines.training.camvid import CAMVID_CLASSES
from pipelines.training.clip_set import ClipSet
from pipelines.training.pictures import Pictures
from pipelines.training.run import EMA, Kit
from vid2vid.classes import CLASSES

COUNTED_PICTURES = 120  # from which the classes' shares are known
LARGEST_WEIGHT = 4.0


@dataclass(frozen=True)
class SegmenterTraining:
    """What the segmenter recipe trains, and with which settings.

    Attributes:
        data: what it learns from, in a word; a run goes on only with the same.
        batch, height, width: of the crops.
        smallest_crop: of a picture's sides.
        recolour: how far each class's colours and texture stray from the picture's; for procedural pictures,
            whose grass has few greens.
        mixed: share of the pictures into which things from another one are put.
    """

    network: SegmenterConfig
    data: str
    batch: int = 10
    height: int = 128
    width: int = 192
    smallest_crop: float = 0.5
    recolour: float = 0.0
    mixed: float = 0.0
    learning_rate: float = 1e-3


def on_worlds() -> SegmenterTraining:
    """The settings for every class, on procedural streets and landscapes."""
    return SegmenterTraining(SegmenterConfig(CLASSES, side=192), "worlds", recolour=0.2, mixed=0.35)


def on_camvid() -> SegmenterTraining:
    """The settings for CamVid, whose photographs are larger than a clip."""
    return SegmenterTraining(SegmenterConfig(CAMVID_CLASSES, side=256), "camvid", batch=6, height=192, width=256)


class StreetFrames:
    """The frames of the streets, which are the even items, of a set of clips."""

    def __init__(self, clips: ClipSet) -> None:
        self.clips = clips

    def __len__(self) -> int:
        return (len(self.clips) + 1) // 2 * self.clips.frames

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        number, frame = divmod(index, self.clips.frames)
        clip = self.clips[2 * number]
        return clip.rgb[frame], clip.labels[frame]


class SegmenterRecipe:
    """A segmenter by cross-entropy, rare classes weighted up, on crops that are made photographic."""

    name = "segmenter"

    def __init__(self, kit: Kit, pictures: Pictures, config: SegmenterTraining) -> None:
        self.kit, self.pictures, self.config = kit, pictures, config
        network = Segmenter(config.network).to(kit.device).to(memory_format=torch.channels_last)
        # From an id of CLASSES to the network's own index; -100 is what cross-entropy leaves out.
        self.index_of = torch.full((256,), -100)
        self.index_of[network.ids()] = torch.arange(len(config.network.classes))
        self.weights = class_weights(pictures, network.ids()).to(kit.device)
        self.modules = {"network": network}
        self.optimisers = {"network": torch.optim.AdamW(network.parameters(), config.learning_rate, weight_decay=1e-2)}
        self.ema = {"network": EMA(network, 0.998)}

    def step(self, step: int, generator: torch.Generator) -> dict[str, Tensor]:
        rgb, labels = self.batch(self.config.batch, generator)
        # Half a cosine from the full rate to nothing (Loshchilov & Hutter 2017), after a short warm-up.
        rate = 0.5 * (1 + math.cos(math.pi * self.kit.progress)) * min(1.0, (step + 1) / 200)
        for group in self.optimisers["network"].param_groups:
            group["lr"] = self.config.learning_rate * rate
        target = self.index_of.to(labels.device)[labels]
        logits = self.logits(self.modules["network"], rgb)
        loss = F.cross_entropy(logits, target, self.weights)
        self.kit.descend(self.optimisers["network"], loss)
        known = target >= 0
        right = (logits.detach().argmax(dim=1) == target)[known].float().mean()
        return {"cross_entropy": loss.detach(), "accuracy": right}

    def logits(self, network: torch.nn.Module, rgb: Tensor) -> Tensor:
        """Logits (B, classes, H, W) of pictures (B, 3, H, W)."""
        with self.kit.autocast():
            logits = network(rgb).float()
        return F.interpolate(logits, scale_factor=CELL, mode="bilinear", align_corners=False)

    def batch(self, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """``count`` crops: rgb (B, 3, H, W) and labels (B, H, W), ids of ``CLASSES``."""
        samples = [self.example(generator) for _ in range(count)]
        rgb = torch.stack([s[0] for s in samples]).to(self.kit.device, memory_format=torch.channels_last)
        return rgb, torch.stack([s[1] for s in samples]).to(self.kit.device)

    def example(self, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """One crop, mixed, recoloured and made photographic."""
        rgb, labels = self.crop(generator)
        if chance(generator, self.config.mixed):
            rgb, labels = mix(rgb, labels, *self.crop(generator), generator)
        if self.config.recolour > 0:
            rgb = recolour(rgb, labels, self.config.recolour, generator)
        return photographic(rgb, generator), labels

    def crop(self, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """A part of one picture of the set, resized and mirrored."""
        rgb, labels = self.pictures[int(torch.randint(len(self.pictures), (), generator=generator))]
        scale = uniform(generator, self.config.smallest_crop, 1.0)
        height = round(scale * rgb.shape[1])
        width = min(rgb.shape[2], round(scale * uniform(generator, 0.85, 1.15) * rgb.shape[2]))
        top = int(torch.randint(rgb.shape[1] - height + 1, (), generator=generator))
        left = int(torch.randint(rgb.shape[2] - width + 1, (), generator=generator))
        rgb, labels = (x[..., top : top + height, left : left + width] for x in (rgb, labels))
        size = (self.config.height, self.config.width)
        rgb = F.interpolate(rgb[None], size=size, mode="bilinear", antialias=True, align_corners=False)[0]
        labels = F.interpolate(labels[None, None].float(), size=size, mode="nearest-exact")[0, 0].long()
        if chance(generator, 0.5):
            rgb, labels = rgb.flip(-1), labels.flip(-1)
        return rgb, labels

    def sample(self, generator: torch.Generator) -> Tensor:
        """Columns of picture, true labels, predicted labels; black is no label."""
        rgb, labels = self.batch(6, generator)
        network = self.ema["network"].module
        with torch.no_grad():
            predicted = network.ids(rgb.device)[self.logits(network, rgb).argmax(dim=1)]
        shown = [torch.cat([colourise(one) for one in maps], dim=1) for maps in (labels, predicted)]
        return torch.cat([torch.cat(list(rgb), dim=1), *shown], dim=2).clamp(0, 1).cpu()

    def export(self, folder: Path) -> None:
        self.ema["network"].module.save_pretrained(folder, dtype=torch.bfloat16, overwrite=True)


def class_weights(pictures: Pictures, ids: Tensor) -> Tensor:
    """Weights (classes,) of the classes ``ids``: one over the square root of the share, of mean 1 over the pixels.

    Counted on at most 120 pictures of the set; at most 4, which is also what a class gets that these do not show.
    """
    chosen = range(0, len(pictures), max(1, len(pictures) // COUNTED_PICTURES))
    counts = sum(torch.bincount(pictures[k][1].flatten(), minlength=256) for k in chosen)
    share = torch.as_tensor(counts)[ids].double()
    share = share / share.sum()
    weights = share.clamp_min(1e-12).rsqrt()
    return (weights / (weights * share).sum()).clamp(max=LARGEST_WEIGHT).float()


def photographic(rgb: Tensor, generator: torch.Generator) -> Tensor:
    """Another exposure, hue, focus, noise and compression of an image (3, H, W) in [0, 1]."""
    rgb = grade(rgb, generator)
    if chance(generator, 0.5):
        rgb = kornia.enhance.adjust_hue(rgb, uniform(generator, -0.4, 0.4)).clamp(0, 1)
    return jpeg(sensor(rgb, generator), generator)


def mix(
    rgb: Tensor, labels: Tensor, others: Tensor, other_labels: Tensor, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Put half of the classes of another picture (3, H, W) with its labels (H, W) into a picture, where they are there.

    ClassMix (Olsson et al., WACV 2021), with true labels: streets and landscapes never meet in the worlds, so that
    without it a house by a lake would have to be something else.
    """
    present = other_labels.unique()
    chosen = present[torch.randperm(len(present), generator=generator)[: (len(present) + 1) // 2]]
    taken = torch.isin(other_labels, chosen)
    return torch.where(taken, others, rgb), torch.where(taken, other_labels, labels)


def recolour(rgb: Tensor, labels: Tensor, strength: float, generator: torch.Generator) -> Tensor:
    """Other colours and another texture for every class of an image (3, H, W) with labels (H, W), at times hardly any.

    Domain randomisation (Tobin et al. 2017): a network that saw many kinds of grass takes the real one for
    one more.
    """
    height, width = labels.shape
    gain = torch.randn(256, 3, generator=generator) * 0.6 + torch.randn(256, 1, generator=generator)
    roughness = 1.5 * torch.rand(256, generator=generator) ** 2
    noise = torch.zeros(1, height, width)
    for _ in range(2):
        cell = 2 ** uniform(generator, 0.5, 5)
        grid = torch.randn(1, 1, max(2, round(height / cell)), max(2, round(width / cell)), generator=generator)
        noise += F.interpolate(grid, size=(height, width), mode="bilinear", align_corners=False)[0]
    stops = strength * uniform(generator, 0, 1.5) * (gain[labels].permute(2, 0, 1) + noise * roughness[labels])
    return (rgb * torch.exp2(stops)).clamp(0, 1)
