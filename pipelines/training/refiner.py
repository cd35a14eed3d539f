"""Recipe: the refiner of a flight, learned on pairs of exact frames and on single photos flown out and back."""

from __future__ import annotations

import math
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from infinite_view.refiner import Refiner, RefinerConfig, ViewBatch, magnified, normalised_log_depth
from infinite_view.virtual_views import out_and_back, random_away, seen_from
from pipelines.training.augment import chance, grade, uniform
from pipelines.training.photo_set import PhotoSet
from pipelines.training.run import EMA, Kit
from pipelines.training.world_set import WorldSet
from render_refine.camera import Camera
from render_refine.discriminator import DiscriminatorConfig, MultiScaleDiscriminator
from render_refine.losses import feature_matching, hinge_d, hinge_g, kl_divergence, laplacian_l1, masked_l1
from render_refine.memory import View
from render_refine.spade import StyleEncoder, fuse_spectral_norm


@dataclass(frozen=True)
class RefinerTraining:
    """What the refiner recipe trains, and with which settings; losses as in Infinite Nature, without VGG."""

    network: RefinerConfig = field(default_factory=RefinerConfig)
    discriminator: DiscriminatorConfig = field(default_factory=lambda: DiscriminatorConfig(4, width=32))
    pairs: int = 2000
    photo_share: float = 0.5
    batch: int = 4
    height: int = 128
    width: int = 192
    learning_rate_g: float = 2e-4
    learning_rate_d: float = 4e-4
    l1_weight: float = 4.0
    laplacian_weight: float = 4.0
    adversarial_weight: float = 1.0
    feature_weight: float = 10.0
    depth_weight: float = 1.0
    sky_weight: float = 0.5
    kl_weight: float = 0.002


@dataclass(frozen=True, eq=False)
class Example:
    """A view with holes, and the frame (3, H, W) with depth (H, W) that it should become."""

    view: View
    rgb: Tensor
    depth: Tensor


class RefinerRecipe:
    """SPADE generator and style encoder against a multi-scale discriminator of RGB-D."""

    name = "refiner"

    def __init__(self, kit: Kit, worlds: WorldSet, photos: PhotoSet | None, config: RefinerTraining) -> None:
        self.kit, self.worlds, self.photos, self.config = kit, worlds, photos, config
        refiner = Refiner(config.network).to(kit.device).to(memory_format=torch.channels_last)
        critic = MultiScaleDiscriminator(config.discriminator).to(kit.device).to(memory_format=torch.channels_last)
        self.refiner, self.critic = refiner, critic
        self.modules = {"refiner": refiner, "critic": critic}
        self.optimisers = {
            "refiner": torch.optim.Adam(refiner.parameters(), config.learning_rate_g, betas=(0.0, 0.9)),
            "critic": torch.optim.Adam(critic.parameters(), config.learning_rate_d, betas=(0.0, 0.9)),
        }
        self.ema = {"refiner": EMA(refiner, 0.998)}

    def step(self, step: int, generator: torch.Generator) -> dict[str, Tensor]:
        config = self.config
        refiner, critic = self.refiner, self.critic
        # The rate falls to nothing over the last third.
        rate = min(1.0, 3 * (1 - self.kit.progress))
        for optimiser, full in zip(
            self.optimisers.values(), (config.learning_rate_g, config.learning_rate_d), strict=True
        ):
            for group in optimiser.param_groups:
                group["lr"] = full * rate
        view, rgb, depth = self.batch(config.batch, generator)
        noise = torch.randn(len(rgb), 1, *rgb.shape[-2:], generator=generator).to(rgb.device)
        with self.kit.autocast():
            mu, logvar = refiner.style(rgb, depth)
            z = StyleEncoder.sample(mu.float().cpu(), logvar.float().cpu(), generator).to(rgb.device)
            out = refiner(view, z, noise)

        sky = torch.isinf(depth)
        fake = torch.cat([out.rgb * 2 - 1, normalised_log_depth(out.depth(view))[:, None]], dim=1)
        real = torch.cat([rgb * 2 - 1, normalised_log_depth(depth)[:, None]], dim=1)

        with self.kit.autocast():
            d_loss = hinge_d(critic(real), critic(fake.detach()))
        self.kit.descend(self.optimisers["critic"], d_loss)

        hole = ~view.known
        free = torch.maximum(hole.float(), magnified(view.density))[:, None]
        critic.requires_grad_(False)
        with self.kit.autocast():
            judged, wanted = critic(fake), critic(real)
        critic.requires_grad_(True)
        losses = {
            "l1": config.l1_weight * masked_l1(out.rgb, rgb, free),
            "laplacian": config.laplacian_weight * laplacian_l1(out.rgb, rgb, free),
            "adversarial": config.adversarial_weight * hinge_g(judged),
            "features": config.feature_weight * feature_matching(wanted, judged),
            "depth": config.depth_weight * masked_l1(out.log_depth, depth.log(), hole & ~sky),
            "sky": config.sky_weight * self._sky_loss(out.sky_logit, sky, hole),
            "kl": config.kl_weight * kl_divergence(mu.float(), logvar.float()),
        }
        self.kit.descend(self.optimisers["refiner"], torch.stack(list(losses.values())).sum(), max_norm=10.0)
        return {"critic": d_loss.detach(), **{name: loss.detach() for name, loss in losses.items()}}

    @staticmethod
    def _sky_loss(logit: Tensor, sky: Tensor, hole: Tensor) -> Tensor:
        # Everywhere, so that it learns from all skies; holes count ten times.
        weight = 0.1 + 0.9 * hole.float()
        return (F.binary_cross_entropy_with_logits(logit, sky.float(), reduction="none") * weight).mean()

    def batch(self, count: int, generator: torch.Generator) -> tuple[ViewBatch, Tensor, Tensor]:
        """Views, and the target rgb (B, 3, H, W) and depth (B, H, W)."""
        examples = [self.example(generator) for _ in range(count)]
        views = ViewBatch.of([e.view for e in examples])
        views = ViewBatch(*(getattr(views, n).to(self.kit.device) for n in ("rgb", "depth", "density", "known")))
        rgb = torch.stack([e.rgb for e in examples]).to(self.kit.device, memory_format=torch.channels_last)
        return views, rgb, torch.stack([e.depth for e in examples]).to(self.kit.device)

    def example(self, generator: torch.Generator) -> Example:
        """One training pair: of a world, or of a photo."""
        if self.photos is not None and chance(generator, self.config.photo_share):
            return self._photo_example(self.photos, generator)
        pair = self.worlds[int(torch.randint(self.config.pairs, (), generator=generator))]
        # Graded side by side, since both must look the same.
        graded = grade(torch.cat([pair.source.rgb, pair.target.rgb], dim=2), generator)
        source_rgb, target_rgb = graded.split(pair.source.rgb.shape[2], dim=2)
        window = self._window(pair.target.depth, generator)
        everywhere = torch.ones_like(pair.source.depth, dtype=torch.bool)
        home = pair.target.camera.crop(*window)
        view = seen_from(source_rgb, pair.source.depth, everywhere, pair.source.camera, home)
        return Example(view, _cut(target_rgb, window), _cut(pair.target.depth, window))

    def _photo_example(self, photos: PhotoSet, generator: torch.Generator) -> Example:
        rgb, depth = photos[int(torch.randint(len(photos), (), generator=generator))]
        if chance(generator, 0.5):
            rgb, depth = rgb.flip(-1), depth.flip(-1)
        rgb = grade(rgb, generator)
        camera = Camera.from_fov(depth.shape[0], depth.shape[1], math.radians(uniform(generator, 45, 75)))
        # Nothing far outside the window matters, and rendering costs by the pixel.
        around = self._window(depth, generator, 1.5)
        rgb, depth, camera = _cut(rgb, around), _cut(depth, around), camera.crop(*around)
        window = self._window(depth, generator)
        view = out_and_back(rgb, depth, camera, random_away(camera, depth, generator), camera.crop(*window))
        return Example(view, _cut(rgb, window), _cut(depth, window))

    def _window(self, depth: Tensor, generator: torch.Generator, scale: float = 1.0) -> tuple[int, int, int, int]:
        """A random crop of ``scale`` times the configured size, as far as there is: top, left, height, width."""
        height = min(round(scale * self.config.height), depth.shape[0])
        width = min(round(scale * self.config.width), depth.shape[1])
        top = int(torch.randint(depth.shape[0] - height + 1, (), generator=generator))
        left = int(torch.randint(depth.shape[1] - width + 1, (), generator=generator))
        return top, left, height, width

    def sample(self, generator: torch.Generator) -> Tensor:
        """Rows of what is known, its first guess, the refined frame, the true frame, refined disparity."""
        view, rgb, depth = self.batch(6, generator)
        network = self.ema["refiner"].module
        noise = torch.randn(len(rgb), 1, *rgb.shape[-2:], generator=generator).to(rgb.device)
        with self.kit.autocast():
            out = network(view, network.style(rgb, depth)[0].float(), noise)
        disparity = (1 - normalised_log_depth(out.depth(view)))[:, None].expand_as(rgb) / 2
        columns = [view.rgb * view.known[:, None], view.rgb, out.rgb, rgb, disparity]
        return torch.cat([torch.cat(list(x), dim=1) for x in columns], dim=2).clamp(0, 1).cpu()

    def export(self, folder: Path) -> None:
        network = fuse_spectral_norm(deepcopy(self.ema["refiner"].module))
        network.save_pretrained(folder, dtype=torch.bfloat16, overwrite=True)


def _cut(image: Tensor, window: tuple[int, int, int, int]) -> Tensor:
    top, left, height, width = window
    return image[..., top : top + height, left : left + width]
