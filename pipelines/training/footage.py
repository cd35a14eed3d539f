"""Recipe: the generator of footage, learned frame after frame on clips that grow as the training goes on."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from pipelines.training.augment import chance, uniform
from pipelines.training.clip_batch import ClipBatch, ClipSource
from pipelines.training.run import EMA, Kit
from render_refine.discriminator import DiscriminatorConfig, MultiScaleDiscriminator, TemporalDiscriminator
from render_refine.losses import (
    feature_matching,
    hinge_d,
    hinge_g,
    kl_divergence,
    laplacian_l1,
    masked_l1,
)
from render_refine.spectral import fuse_spectral_norm
from render_refine.warp import backward_warp
from vid2vid.classes import CLASSES
from vid2vid.generator import FootageGenerator, GeneratorConfig, Painted, one_hot
from vid2vid.motion import MotionNetwork, warp_previous

# (from this part of the budget on, clips at once, frames of a clip)
CURRICULUM = ((0.0, 4, 1), (0.55, 2, 4), (0.8, 2, 8), (0.95, 1, 16))
TEMPORAL_FRAMES = 3
# Eyes forgive a texture that is another one, but not coloured noise: what is drawn anew is compared band by band mostly
# in its colour differences, and left to the critics in its luma.
LUMA, CHROMA = 0.25, 4.0


@dataclass(frozen=True)
class FootageTraining:
    """What the footage recipe trains, and with which settings.

    Losses and weights as in SPADE and wc-vid2vid; a Laplacian pyramid stands in for the perceptual loss, which
    needs a network trained on data that may not be used for everything.
    """

    network: GeneratorConfig = field(default_factory=GeneratorConfig)
    critic: DiscriminatorConfig = field(default_factory=lambda: DiscriminatorConfig(3 + len(CLASSES), width=24))
    temporal: DiscriminatorConfig = field(
        default_factory=lambda: DiscriminatorConfig(3, width=16, num_scales=1, frames=TEMPORAL_FRAMES)
    )
    learning_rate_g: float = 2e-4
    learning_rate_d: float = 4e-4
    adversarial_weight: float = 1.0
    temporal_weight: float = 0.5
    feature_weight: float = 10.0
    l1_weight: float = 2.0
    laplacian_weight: float = 10.0
    steady_weight: float = 4.0
    guidance_weight: float = 20.0
    kl_weight: float = 0.01


class FootageRecipe:
    """Generator and style encoder against a critic of single frames and one of three in a row."""

    name = "footage"

    def __init__(self, kit: Kit, source: ClipSource, motion: MotionNetwork | None, config: FootageTraining) -> None:
        self.kit, self.source, self.motion, self.config = kit, source, motion, config
        last = torch.channels_last
        self.network = FootageGenerator(config.network).to(kit.device).to(memory_format=last)
        self.critic = MultiScaleDiscriminator(config.critic).to(kit.device).to(memory_format=last)
        self.temporal = TemporalDiscriminator(config.temporal).to(kit.device).to(memory_format=last)
        self.modules: dict[str, torch.nn.Module] = {
            "network": self.network,
            "critic": self.critic,
            "temporal": self.temporal,
        }
        rates = (config.learning_rate_g, config.learning_rate_d, config.learning_rate_d)
        self.optimisers = {
            name: torch.optim.Adam(module.parameters(), rate, betas=(0.0, 0.9))
            for (name, module), rate in zip(self.modules.items(), rates, strict=True)
        }
        self.full_rates = dict(zip(self.modules, rates, strict=True))
        self.ema = {"network": EMA(self.network, 0.998)}

    def step(self, step: int, generator: torch.Generator) -> dict[str, Tensor]:
        """One clip (or a batch of them); every frame of it is a step of every optimiser."""
        for name, optimiser in self.optimisers.items():
            for group in optimiser.param_groups:
                # The rate falls to nothing over the last third.
                group["lr"] = self.full_rates[name] * min(1.0, 3 * (1 - self.kit.progress))
        clips, frames = next((b, t) for start, b, t in reversed(CURRICULUM) if self.kit.progress >= start)
        frames = min(frames, self.source.longest)
        batch = self.source.batch(clips, frames, generator)
        scalars: list[dict[str, Tensor]] = []
        painted: list[Tensor] = []
        flow: Tensor | None = None
        for t in range(frames):
            warped, guidance, flow = self._conditions(batch, t, painted, flow, generator)
            out, losses = self._frame(batch, t, painted, warped, guidance, generator)
            painted.append(out.rgb.detach())
            scalars.append(losses)
        names = {name: None for losses in scalars for name in losses}
        return {name: torch.stack([s[name] for s in scalars if name in s]).mean() for name in names}

    def _conditions(
        self, batch: ClipBatch, t: int, painted: list[Tensor], last_flow: Tensor | None, generator: torch.Generator
    ) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        """The warped frame, the guidance, and the flow to the previous frame."""
        if t == 0:
            return None, None, None
        ids = [batch.labels[:, frame].to(self.kit.device) for frame in (t, t - 1)]
        labels, previous = map(one_hot, ids)
        true = batch.match(t, t - 1)
        if self.motion is None:
            flow, trust = true.flow.to(labels), true.visible.to(labels)
        else:
            with torch.no_grad(), self.kit.autocast():
                start = torch.zeros_like(true.flow).to(labels) if last_flow is None else last_flow
                flow, logit = self.motion(labels, previous, start)
                trust = torch.sigmoid(logit)
        warped: Tensor | None = warp_previous(painted[-1], ids[0], ids[1], flow, trust)
        guidance = None
        if chance(generator, 0.5):
            # What the first frame of the clip painted stands for the memory, with holes of any size in it.
            first = batch.match(t, 0)
            colours, _ = backward_warp(painted[0], first.flow.to(labels))
            cells = torch.rand(len(labels), 1, 6, 8, generator=generator) < uniform(generator, 0.3, 1.0)
            kept = torch.nn.functional.interpolate(cells.float(), size=labels.shape[-2:]).to(labels)
            guidance = torch.cat([colours, kept * first.still.to(labels)], dim=1)
            if chance(generator, 0.5):
                warped = None
        return warped, guidance, flow

    def _frame(
        self,
        batch: ClipBatch,
        t: int,
        painted: list[Tensor],
        warped: Tensor | None,
        guidance: Tensor | None,
        generator: torch.Generator,
    ) -> tuple[Painted, dict[str, Tensor]]:
        config, device = self.config, self.kit.device
        labels = one_hot(batch.labels[:, t]).to(device, memory_format=torch.channels_last)
        real = batch.rgb[:, t].to(device, memory_format=torch.channels_last)
        with self.kit.autocast():
            mu, logvar = self.network.encode(batch.rgb[:, 0].to(device))
            noise = torch.randn(mu.shape, generator=generator).to(device)
            out = self.network(labels, warped, guidance, mu + noise * torch.exp(0.5 * logvar))

        def judge(image: Tensor) -> list[list[Tensor]]:
            return self.critic(torch.cat([labels, image * 2 - 1], dim=1))

        with self.kit.autocast():
            critic_loss = hinge_d(judge(real), judge(out.rgb.detach()))
        self.kit.descend(self.optimisers["critic"], critic_loss)
        self.critic.requires_grad_(False)
        with self.kit.autocast():
            judged, wanted = judge(out.rgb), judge(real)
        self.critic.requires_grad_(True)
        losses = {
            "adversarial": config.adversarial_weight * hinge_g(judged),
            "features": config.feature_weight * feature_matching(wanted, judged),
            # What is drawn anew is compared with the true frame, what is kept with where it comes from.
            "l1": config.l1_weight * masked_l1(out.drawn, real),
            "laplacian": config.laplacian_weight * laplacian_l1(opponent(out.drawn), opponent(real)),
            "kl": config.kl_weight * kl_divergence(mu, logvar),
        }
        for name, weight, kept in (
            ("steady", config.steady_weight, warped),
            ("guidance", config.guidance_weight, guidance),
        ):
            if kept is not None:
                losses[name] = weight * masked_l1(out.rgb, kept[:, :3], kept[:, 3:])
        scalars = {"critic": critic_loss.detach()}
        if t + 1 >= TEMPORAL_FRAMES:
            fake = torch.stack([*painted[1 - TEMPORAL_FRAMES :], out.rgb], dim=1) * 2 - 1
            true = batch.rgb[:, t + 1 - TEMPORAL_FRAMES : t + 1].to(device) * 2 - 1
            with self.kit.autocast():
                temporal_loss = hinge_d(self.temporal(true), self.temporal(fake.detach()))
            self.kit.descend(self.optimisers["temporal"], temporal_loss)
            self.temporal.requires_grad_(False)
            with self.kit.autocast():
                losses["temporal"] = config.temporal_weight * hinge_g(self.temporal(fake))
            self.temporal.requires_grad_(True)
            scalars["temporal_critic"] = temporal_loss.detach()
        self.kit.descend(self.optimisers["network"], torch.stack(list(losses.values())).sum(), max_norm=10.0)
        return out, {**scalars, **{name: loss.detach() for name, loss in losses.items()}}

    def sample(self, generator: torch.Generator) -> Tensor:
        """Rows: true frames; their labels painted in their style, in two random ones; three frames on; the truth."""
        network = self.ema["network"].module
        batch = self.source.batch(5, 4, generator)
        styles = [network.encode(batch.rgb[:, 0].to(self.kit.device))[0]]
        styles += [network.random_style(generator).expand(5, -1) for _ in range(2)]
        rows = [batch.rgb[:, 0]]
        with self.kit.autocast():
            for z in styles:
                labels = one_hot(batch.labels[:, 0]).to(self.kit.device)
                rows.append(network(labels, None, None, z).rgb)
            painted = [rows[1]]
            flow = None
            for t in range(1, 4):
                warped, _, flow = self._conditions(batch, t, painted, flow, generator)
                labels = one_hot(batch.labels[:, t]).to(self.kit.device)
                painted.append(network(labels, warped, None, styles[0]).rgb)
        rows += [painted[-1], batch.rgb[:, 3]]
        return torch.cat([torch.cat(list(row.cpu()), dim=2) for row in rows], dim=1).clamp(0, 1)

    def export(self, folder: Path) -> None:
        """The averaged generator, with the styles of the training frames."""
        network = deepcopy(self.ema["network"].module)
        generator = torch.Generator().manual_seed(0)
        codes = []
        for _ in range(64):
            batch = self.source.batch(4, 1, generator)
            codes.append(network.encode(batch.rgb[:, 0].to(self.kit.device))[0].cpu())
        network.fit_styles(torch.cat(codes))
        fuse_spectral_norm(network).save_pretrained(folder, dtype=torch.bfloat16, overwrite=True)


def opponent(rgb: Tensor) -> Tensor:
    """Luma and the colour differences of BT.601, weighted by ``LUMA`` and ``CHROMA``, of images (B, 3, H, W)."""
    red, green, blue = rgb.unbind(dim=1)
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    return torch.stack([LUMA * luma, CHROMA * 0.564 * (blue - luma), CHROMA * 0.713 * (red - luma)], dim=1)
