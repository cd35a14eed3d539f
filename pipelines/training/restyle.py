"""Recipe: the restyler, on places rendered under nine lights, two frames at a time."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, field
from math import nan
from pathlib import Path

import torch
from torch import Tensor

from pipelines.perception.segmentation import Segmenter
from pipelines.training.augment import chance
from pipelines.training.light_pairs import Example, LightPairs
from pipelines.training.photo_looks import PhotoLooks
from pipelines.training.run import EMA, Kit
from render_refine.discriminator import DiscriminatorConfig, MultiScaleDiscriminator
from render_refine.fill import box_max
from render_refine.losses import feature_matching, hinge_d, hinge_g, laplacian_l1, masked_l1
from render_refine.spectral import fuse_spectral_norm
from vid2vid.classes import CLASSES, NO_LABEL
from vid2vid.generator import one_hot
from vid2vid.optical_flow import trust
from vid2vid.restyle import carried
from vid2vid.restyler import FACTS, Known, Restyled, Restyler, RestylerConfig, moment_facts

SKY = CLASSES.index("sky")
CHANGED, SLIGHT = 0.3, 0.1  # mean change of a picture, of the full range, that weighs about 1; and what is little


@dataclass(frozen=True)
class RestyleTraining:
    """What the restyle recipe trains, and with which settings.

    Attributes:
        second_from, critic_from: parts of the budget after which the second frame and the critic join in: first the
            colours, then what is carried on, then new things.
        second_share, critic_share: of the steps from then on that have them; each costs as much as the rest.
        true_labels, no_labels: shares of the examples with the world's labels and with none; the rest have those of
            the bundled segmenter, mistakes and all, since that is what real clips get.
        by_reference: share of the steps on worlds whose style code comes from a picture.
        misnamed: share of the examples in which one class bears the name of another: clips show what worlds do not.
        swallowed: share of the examples whose labels call a rim of what stands before the sky sky, as segmenters do.
        photo_steps: share of the steps on photographs, if there are any.
        lit_weight: how much more a pixel counts that becomes brighter, and more so than the picture, by the full range:
            lit windows and lamps are few, and by the plain mean it would be safest to leave them dark.
    """

    network: RestylerConfig = field(default_factory=RestylerConfig)
    critic: DiscriminatorConfig = field(default_factory=lambda: DiscriminatorConfig(3 + len(CLASSES) + FACTS, width=24))
    batch: int = 4
    second_from: float = 0.3
    critic_from: float = 0.45
    second_share: float = 0.2
    critic_share: float = 0.15
    true_labels: float = 0.35
    no_labels: float = 0.15
    misnamed: float = 0.15
    swallowed: float = 0.3
    by_reference: float = 0.2
    photo_steps: float = 0.1
    learning_rate_g: float = 4e-4
    learning_rate_d: float = 4e-4
    lit_weight: float = 4.0
    l1_weight: float = 10.0
    laplacian_weight: float = 4.0
    steady_weight: float = 4.0
    adversarial_weight: float = 0.15
    feature_weight: float = 1.5


class RestyleRecipe:
    """Colour maps by the true target, then also by a critic that knows the moment; the second frame after the first."""

    name = "restyle"

    def __init__(
        self, kit: Kit, pairs: LightPairs, photos: PhotoLooks | None, segmenter: Segmenter, config: RestyleTraining
    ) -> None:
        self.kit, self.pairs, self.photos, self.segmenter, self.config = kit, pairs, photos, segmenter, config
        last = torch.channels_last
        self.network = Restyler(config.network).to(kit.device).to(memory_format=last)
        self.critic = MultiScaleDiscriminator(config.critic).to(kit.device).to(memory_format=last)
        self.modules: dict[str, torch.nn.Module] = {"network": self.network, "critic": self.critic}
        self.full_rates = {"network": config.learning_rate_g, "critic": config.learning_rate_d}
        self.optimisers = {
            "network": torch.optim.Adam(self.network.parameters(), config.learning_rate_g, betas=(0.5, 0.99)),
            "critic": torch.optim.Adam(self.critic.parameters(), config.learning_rate_d, betas=(0.0, 0.9)),
        }
        self.ema = {"network": EMA(self.network, 0.998)}

    def step(self, step: int, generator: torch.Generator) -> dict[str, Tensor]:
        """A batch of two frames each: the first by itself, the second after it, and both into one loss."""
        config, progress = self.config, self.kit.progress
        for name, optimiser in self.optimisers.items():
            for group in optimiser.param_groups:
                # The rate falls to nothing over the last half.
                group["lr"] = self.full_rates[name] * min(1.0, 2 * (1 - progress), (step + 1) / 200)
        photos = self.photos if chance(generator, config.photo_steps) else None
        drawn = (photos or self.pairs).batch(config.batch, generator)
        batch = Example(*(part.to(self.kit.device) for part in drawn))
        facts = moment_facts(batch.hour, batch.season)
        by_reference = photos is not None or chance(generator, config.by_reference)
        with self.kit.autocast():
            z = self.network.moment(facts)
            if by_reference:
                z = torch.where(unasked(batch)[:, None], z, self.network.reference_style(batch.reference))
            labels = self.labels(batch, 0, generator)
            first = self.network(batch.source[:, 0], labels, None, z)
        shown = [(labels, first.rgb, batch.target[:, 0])]
        losses = self.nearness(first.rgb, batch, 0)
        if progress >= config.second_from and chance(generator, config.second_share):
            known = self.known(batch, first, generator)
            with self.kit.autocast():
                labels = self.labels(batch, 1, generator)
                second = self.network(batch.source[:, 1], labels, known, z)
            shown.append((labels, second.rgb, batch.target[:, 1]))
            for rgb in (second.rgb, second.drawn):
                for name, loss in self.nearness(rgb, batch, 1).items():
                    losses[name] = losses[name] + loss
            losses["steady"] = config.steady_weight * masked_l1(second.maps, known.maps, known.validity)
        scalars: dict[str, Tensor] = {}
        if progress >= config.critic_from and photos is None and chance(generator, config.critic_share):
            scalars["critic"] = self.judge(shown, facts, losses)
        self.kit.descend(self.optimisers["network"], torch.stack(list(losses.values())).sum(), max_norm=10.0)
        return scalars | {name: loss.detach() for name, loss in losses.items()}

    def nearness(self, drawn: Tensor, batch: Example, frame: int) -> dict[str, Tensor]:
        """How far a picture (B, 3, h, w) is from the true one, next to how far it had to go.

        Without that measure the nights would drown the autumns, in which little but the trees changes.
        """
        wanted, source = batch.target[:, frame], batch.source[:, frame]
        scale = CHANGED / (SLIGHT + (wanted - source).abs().mean(dim=(1, 2, 3), keepdim=True))
        brighter = (wanted - source).mean(dim=1, keepdim=True)
        # Of a night that becomes a day all is brighter: that alone makes nothing in it rare.
        brighter = (brighter - brighter.mean(dim=(2, 3), keepdim=True).clamp_min(0)).clamp_min(0)
        weight = scale * (1 + self.config.lit_weight * brighter)
        return {
            "l1": self.config.l1_weight * (weight * (drawn - wanted).abs()).mean(),
            "laplacian": self.config.laplacian_weight * laplacian_l1(scale * drawn, scale * wanted),
        }

    def labels(self, batch: Example, frame: int, generator: torch.Generator) -> Tensor:
        """One-hot labels (B, 18, H, W) of one of the frames: the true ones, the segmenter's, or none."""
        labels = batch.labels[:, frame].clone()
        for k, kind in enumerate(torch.rand(len(labels), generator=generator).tolist()):
            known = bool((labels[k] != NO_LABEL).any())
            if kind < self.config.no_labels:
                labels[k] = NO_LABEL
            elif not known or kind >= self.config.no_labels + self.config.true_labels:
                labels[k] = self.segmenter.segment(batch.source[k, frame])
            if chance(generator, self.config.misnamed):
                other = torch.randint(len(CLASSES), (), generator=generator).to(labels)
                one = labels[k].flatten()[int(torch.randint(labels[k].numel(), (), generator=generator))]
                labels[k] = torch.where(labels[k] == one, other, labels[k])
            if chance(generator, self.config.swallowed):
                rim = int(torch.randint(1, 8, (), generator=generator))
                labels[k] = torch.where(box_max((labels[k] == SKY)[None, None].float(), rim)[0, 0] > 0, SKY, labels[k])
        return one_hot(labels).contiguous(memory_format=torch.channels_last)

    def known(self, batch: Example, first: Restyled, generator: torch.Generator) -> Known:
        """The first frame as the second sees it, with holes of any size; nothing flows back into it."""
        before = Restyled(first.rgb.detach(), first.maps.detach(), first.drawn.detach())
        trusted = trust(batch.source[:, 1], batch.source[:, 0], batch.flow, batch.visible)
        known = carried(before, batch.flow, trusted)
        cells = torch.rand(len(batch.source), 1, 5, 8, generator=generator)
        share = torch.rand(len(batch.source), 1, 1, 1, generator=generator)
        kept = torch.nn.functional.interpolate((cells < 1.2 * share).float(), size=batch.visible.shape[-2:])
        return known._replace(validity=known.validity * kept.to(known.validity))

    def judge(self, shown: list[tuple[Tensor, Tensor, Tensor]], facts: Tensor, losses: dict[str, Tensor]) -> Tensor:
        """Train the critic on (labels, drawn, true) of every frame and add its opinion to the losses.

        Returns:
            the critic's own loss.
        """
        labels, drawn, true = (torch.cat(parts) for parts in zip(*shown, strict=True))
        told = facts.repeat(len(shown), 1)[..., None, None].expand(-1, -1, *true.shape[-2:])

        def opinion(rgb: Tensor) -> list[list[Tensor]]:
            seen = torch.cat([labels, told, rgb * 2 - 1], dim=1)
            return self.critic(seen.contiguous(memory_format=torch.channels_last))

        with self.kit.autocast():
            loss = hinge_d(opinion(true), opinion(drawn.detach()))
        self.kit.descend(self.optimisers["critic"], loss)
        self.critic.requires_grad_(False)
        with self.kit.autocast():
            judged, wanted = opinion(drawn), opinion(true)
        self.critic.requires_grad_(True)
        losses["adversarial"] = self.config.adversarial_weight * hinge_g(judged)
        losses["features"] = self.config.feature_weight * feature_matching(wanted, judged)
        return loss.detach()

    @torch.no_grad()
    def sample(self, generator: torch.Generator) -> Tensor:
        """Rows: sources, what they became, targets; and the sources at noon, dusk, night, in autumn and winter."""
        network = self.ema["network"].module
        batch = self.pairs.batch(6, generator)
        hot = one_hot(torch.stack([self.segmenter.segment(frame) for frame in batch.source[:, 0]]))
        wishes = [(batch.hour, batch.season)]
        for hour, season in ((12.5, nan), (18.2, nan), (23.5, nan), (nan, 3.0), (nan, 0.0)):
            wishes.append((torch.full((6,), hour), torch.full((6,), season)))
        rows = [batch.source[:, 0]]
        with self.kit.autocast():
            for k, moment in enumerate(wishes):
                rows.append(network(batch.source[:, 0], hot, None, network.moment_style(*moment)).rgb)
                if k == 0:
                    rows.append(batch.target[:, 0])
        return torch.cat([torch.cat(list(row.cpu()), dim=2) for row in rows], dim=1).clamp(0, 1)

    def export(self, folder: Path) -> None:
        """The averaged network."""
        network = deepcopy(self.ema["network"].module)
        fuse_spectral_norm(network).save_pretrained(folder, dtype=torch.bfloat16, overwrite=True)


def unasked(batch: Example) -> Tensor:
    """(B,) bool: examples whose frames are to stay as they are."""
    return (batch.source == batch.target).flatten(1).all(dim=1)
