"""Recipe: new views of one photo, end to end (SynSin): depth, features and refiner learn from pairs of views."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pipelines.training.run import EMA, Kit
from pipelines.training.view_pairs import PairSource, ViewPair
from render_refine.camera import Camera
from render_refine.discriminator import DiscriminatorConfig, MultiScaleDiscriminator
from render_refine.losses import (
    feature_matching,
    gradient_matching,
    hinge_d,
    hinge_g,
    laplacian_l1,
    masked_l1,
    scale_invariant_log,
)
from render_refine.spectral import fuse_spectral_norm
from synsin.model import SynsinConfig, Synthesis, ViewSynthesizer, finite_depth


@dataclass(frozen=True)
class ViewsTraining:
    """What the views recipe trains, and with which settings.

    The losses are the paper's (L1, adversarial, feature matching), with a Laplacian pyramid in the place of VGG, which
    was trained on data that may not be used for everything. ``depth_weight`` counts where depth is known: without
    any, depth is learned from the images alone, through the renderer.
    """

    network: SynsinConfig = field(default_factory=SynsinConfig)
    critic: DiscriminatorConfig = field(default_factory=lambda: DiscriminatorConfig(3, width=24))
    batch: int = 4
    height: int = 128
    width: int = 192
    clips: int = 1
    learning_rate_g: float = 3e-4
    learning_rate_d: float = 4e-4
    l1_weight: float = 8.0
    laplacian_weight: float = 6.0
    drawn_weight: float = 4.0
    adversarial_weight: float = 0.1
    feature_weight: float = 2.0
    depth_weight: float = 5.0
    sky_weight: float = 2.5


class ViewsRecipe:
    """The model of the paper against a multi-scale discriminator of single images.

    Args:
        sources: where pairs come from, with their shares.
        start: weights of a depth network to start from (``UNet``), or None.
    """

    name = "views"

    def __init__(
        self,
        kit: Kit,
        sources: Sequence[tuple[float, PairSource]],
        config: ViewsTraining,
        start: nn.Module | None = None,
    ) -> None:
        self.kit, self.sources, self.config = kit, sources, config
        last = torch.channels_last
        self.network = ViewSynthesizer(config.network).to(kit.device).to(memory_format=last)
        if start is not None:
            self.network.regressor.load_state_dict(start.state_dict())
        self.critic = MultiScaleDiscriminator(config.critic).to(kit.device).to(memory_format=last)
        # The unit of length of a clip whose cameras come without one: e^s of the unit of predicted depth.
        self.scales = nn.Embedding(config.clips, 1, device=kit.device)
        nn.init.zeros_(self.scales.weight)
        self.modules: dict[str, nn.Module] = {"network": self.network, "critic": self.critic, "scales": self.scales}
        learned = [{"params": self.network.parameters()}, {"params": self.scales.parameters()}]
        self.optimisers = {
            "network": torch.optim.Adam(learned, config.learning_rate_g, betas=(0.5, 0.99)),
            "critic": torch.optim.Adam(self.critic.parameters(), config.learning_rate_d, betas=(0.0, 0.9)),
        }
        self.ema = {"network": EMA(self.network, 0.998)}

    def step(self, step: int, generator: torch.Generator) -> dict[str, Tensor]:
        config = self.config
        # The rate falls to nothing over the last half.
        rate = min(1.0, 2 * (1 - self.kit.progress)) * min(1.0, (step + 1) / 100)
        rates = (config.learning_rate_g, config.learning_rate_d)
        for optimiser, full in zip(self.optimisers.values(), rates, strict=True):
            for group in optimiser.param_groups:
                group["lr"] = full * rate
        batch = self.batch(config.batch, generator)
        with self.kit.autocast():
            out = self.network.regressor(batch.source * 2 - 1)
        log_depth, sky_logit = out.float().unbind(dim=1)
        view = self._view(self.network, batch, finite_depth(log_depth, sky_logit))
        with self.kit.autocast():
            d_loss = hinge_d(self.critic(batch.target * 2 - 1), self.critic(view.rgb.detach() * 2 - 1))
        self.kit.descend(self.optimisers["critic"], d_loss)
        self.critic.requires_grad_(False)
        with self.kit.autocast():
            judged, wanted = self.critic(view.rgb * 2 - 1), self.critic(batch.target * 2 - 1)
        self.critic.requires_grad_(True)

        inside = batch.inside[:, None]
        losses = {
            "l1": config.l1_weight * masked_l1(view.rgb, batch.target, inside),
            "laplacian": config.laplacian_weight * laplacian_l1(view.rgb, batch.target, inside),
            "drawn": config.drawn_weight * masked_l1(view.drawn, batch.target, inside),
            "adversarial": config.adversarial_weight * hinge_g(judged),
            "features": config.feature_weight * feature_matching(wanted, judged),
            **self._depth_losses(log_depth, sky_logit, batch.depth),
        }
        self.kit.descend(self.optimisers["network"], torch.stack(list(losses.values())).sum(), max_norm=10.0)
        return {"critic": d_loss.detach(), **{name: loss.detach() for name, loss in losses.items()}}

    def _view(self, network: ViewSynthesizer, batch: PairBatch, depth: Tensor) -> Synthesis:
        """The other view, by predicted depth."""
        clip = batch.clip.to(self.kit.device)
        unit = torch.where(clip >= 0, self.scales(clip.clamp_min(0))[:, 0].exp(), 1.0)
        move = batch.other.cam_from_world @ torch.linalg.inv(batch.camera.cam_from_world)
        move = torch.cat([move[..., :3], move[..., 3:] * unit[:, None, None]], dim=-1)
        home = batch.camera.at(torch.eye(4, device=unit.device).expand_as(move))
        with self.kit.autocast():
            return network(batch.source, home, batch.other.at(move), depth)

    def _depth_losses(self, log_depth: Tensor, sky_logit: Tensor, depth: Tensor) -> dict[str, Tensor]:
        """Supervision where there is true depth (not nan)."""
        config = self.config
        known, sky = ~depth.isnan(), depth.isinf()
        if config.depth_weight == 0 or not known.any():
            return {}
        ground = known & ~sky
        target = torch.where(ground, depth, torch.ones_like(depth))
        shape = scale_invariant_log(log_depth.exp(), torch.where(ground, depth, torch.inf), variance_weight=0.9)
        edges = gradient_matching(log_depth, target.log(), ground)
        sky_loss = F.binary_cross_entropy_with_logits(sky_logit, sky.float(), reduction="none")
        return {
            "depth": config.depth_weight * (shape + 0.5 * edges),
            "sky": config.sky_weight * (sky_loss * known).sum() / known.sum(),
        }

    def batch(self, count: int, generator: torch.Generator) -> PairBatch:
        """``count`` pairs, each from a source drawn by its share."""
        shares = torch.tensor([share for share, _ in self.sources])
        drawn = torch.multinomial(shares, count, replacement=True, generator=generator).tolist()
        size = (self.config.height, self.config.width)
        return PairBatch.of([self.sources[k][1].draw(*size, generator) for k in drawn]).to(self.kit.device)

    def sample(self, generator: torch.Generator) -> Tensor:
        """Rows of photo, its disparity, the photo as rendered, the new view, the true one, and the trust."""
        batch = self.batch(6, generator)
        network = self.ema["network"].module
        with self.kit.autocast():
            depth = network.depth(batch.source)
        view = self._view(network, batch, depth)
        disparity = 1 / depth
        grey = [image.expand_as(batch.source) for image in (0.7 * disparity[:, None].sqrt(), view.trust)]
        rendered = view.rendering.rgb * view.rendering.visible
        columns = [batch.source, grey[0], rendered, view.rgb, batch.target, grey[1]]
        return torch.cat([torch.cat(list(x), dim=1) for x in columns], dim=2).clamp(0, 1).float().cpu()

    def export(self, folder: Path) -> None:
        network = fuse_spectral_norm(deepcopy(self.ema["network"].module))
        network.save_pretrained(folder, dtype=torch.bfloat16, overwrite=True)


@dataclass(frozen=True, eq=False)
class PairBatch:
    """Pairs of one size, stacked: images (B, 3, H, W), depth and inside (B, H, W), cameras of B, clip (B,)."""

    source: Tensor
    target: Tensor
    depth: Tensor
    camera: Camera
    other: Camera
    inside: Tensor
    clip: Tensor

    @staticmethod
    def of(pairs: Sequence[ViewPair]) -> PairBatch:
        """Stack pairs."""

        def stacked(name: str) -> Tensor:
            return torch.stack([getattr(pair, name) for pair in pairs])

        def cameras(name: str) -> Camera:
            each = [getattr(pair, name) for pair in pairs]
            size = (each[0].height, each[0].width)
            return Camera(*size, torch.stack([c.K for c in each]), torch.stack([c.cam_from_world for c in each]))

        source, target, depth, inside = (stacked(name) for name in ("source", "target", "depth", "inside"))
        clip = torch.tensor([pair.clip for pair in pairs])
        return PairBatch(source, target, depth, cameras("camera"), cameras("other"), inside, clip)

    def to(self, device: torch.device) -> PairBatch:
        """The same on another device."""
        source, target = (image.to(device, memory_format=torch.channels_last) for image in (self.source, self.target))
        camera, other = self.camera.to(device), self.other.to(device)
        depth, inside, clip = (image.to(device) for image in (self.depth, self.inside, self.clip))
        return PairBatch(source, target, depth, camera, other, inside, clip)
