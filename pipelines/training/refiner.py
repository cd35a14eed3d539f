"""Recipe: the refiner of a flight, learned on journeys over worlds and into photos, of which the truth is known."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
import torch.nn.functional as F
from kornia.metrics import ssim
from torch import Tensor

from infinite_view.refiner import Refined, Refiner, RefinerConfig, ViewBatch, magnified, normalised_log_depth
from pipelines.training.augment import chance
from pipelines.training.flight_set import FlightSet
from pipelines.training.journeys import LAST_STEPS, Journey, drawn_before, pair_journey, photo_journey, world_journey
from pipelines.training.photo_set import PhotoSet
from pipelines.training.run import EMA, Kit
from pipelines.training.world_set import WorldSet
from render_refine.losses import kl_divergence, laplacian_l1, masked_l1
from render_refine.memory import View
from render_refine.spade import StyleEncoder
from render_refine.spectral import fuse_spectral_norm

Flown = tuple[ViewBatch, Refined, Tensor, tuple[Tensor, Tensor]]
Fly = Callable[[list[Journey], Tensor, torch.Generator], Flown]

WINDOW = 11  # pixels of the structural similarity, as it is measured
SAMPLED_STEPS = 8  # keyframes after which a sheet shows a journey, if it goes that far


@dataclass(frozen=True)
class RefinerTraining:
    """What the refiner recipe trains, and with which settings.

    There is no discriminator: what is drawn is drawn upon, keyframe after keyframe, and contrast that a network invents
    adds up. It draws what is likeliest; detail comes from the photo (`infinite_view.texture`).
    """

    network: RefinerConfig = field(default_factory=RefinerConfig)
    pairs: int = 2000
    photo_share: float = 0.5  # of the short journeys
    long: int = 1  # journeys in a batch; short ones in their place where there are no flights
    short: int = 1
    leaps: int = 6
    short_share: float = 0.3  # of the leaps
    height: int = 160
    width: int = 256
    learning_rate: float = 4e-4
    l1_weight: float = 4.0
    square_weight: float = 30.0
    laplacian_weight: float = 2.0
    ssim_weight: float = 2.0
    depth_weight: float = 1.0
    sky_weight: float = 0.5
    kl_weight: float = 0.002


class RefinerRecipe:
    """SPADE generator and style encoder, compared with the truth after steps of the flight's own loop.

    Journeys over worlds go on from step to step. They are no part of a checkpoint: a run that goes on begins new ones.
    """

    name = "refiner"

    def __init__(
        self,
        kit: Kit,
        worlds: WorldSet | None,
        photos: PhotoSet | None,
        config: RefinerTraining,
        flights: FlightSet | None = None,
        start: Refiner | None = None,
    ) -> None:
        self.kit, self.worlds, self.photos, self.config, self.flights = kit, worlds, photos, config, flights
        refiner = (
            (start or Refiner(config.network))
            .train()
            .requires_grad_(True)
            .to(kit.device)
            .to(memory_format=torch.channels_last)
        )
        self.refiner = refiner
        self.modules = {"refiner": refiner}
        self.optimisers = {"refiner": torch.optim.Adam(refiner.parameters(), config.learning_rate, betas=(0.9, 0.99))}
        self.ema = {"refiner": EMA(refiner, 0.99)}
        self.flying: list[Journey] = []

    def step(self, step: int, generator: torch.Generator) -> dict[str, Tensor]:
        config = self.config
        # The rate falls to nothing over the last third.
        for group in self.optimisers["refiner"].param_groups:
            group["lr"] = config.learning_rate * min(1.0, 3 * (1 - self.kit.progress))
        groups = [
            (self.journeys(generator), self.unroll),
            ([self.leap(generator) for _ in range(config.leaps)], self.look),
        ]
        count = sum(len(journeys) for journeys, _ in groups)
        total: dict[str, Tensor] = {}
        for journeys, fly in groups:
            if journeys:
                for name, loss in self.losses(journeys, fly, generator).items():
                    total[name] = total.get(name, 0.0) + len(journeys) / count * loss
        self.kit.descend(self.optimisers["refiner"], torch.stack(list(total.values())).sum(), max_norm=10.0)
        return {name: loss.detach() for name, loss in total.items()}

    def losses(self, journeys: list[Journey], fly: Fly, generator: torch.Generator) -> dict[str, Tensor]:
        """How far from the truth the journeys end, by name; means over them."""
        config = self.config
        with self.kit.autocast():
            looks, logvar = self.refiner.style(*self._stacked([(j.rgb, j.depth) for j in journeys]))
        mu, colours = looks.float().split([logvar.shape[1], looks.shape[1] - logvar.shape[1]], dim=1)
        z = StyleEncoder.sample(mu.cpu(), logvar.float().cpu(), generator).to(self.kit.device)
        view, out, drawn, (rgb, depth) = fly(journeys, torch.cat([z, colours], dim=1), generator)

        sky = torch.isinf(depth)
        hole = ~view.known
        free = torch.maximum((hole | drawn).float(), magnified(view.density))[:, None]
        return {
            "l1": config.l1_weight * masked_l1(out.rgb, rgb, free),
            "square": config.square_weight * masked_l1((out.rgb - rgb) ** 2, torch.zeros_like(rgb), free),
            "laplacian": config.laplacian_weight * laplacian_l1(out.rgb, rgb, free),
            "ssim": config.ssim_weight * (1 - ssim(out.rgb, rgb, WINDOW, padding="valid")).mean(),
            "depth": config.depth_weight * masked_l1(out.log_depth, depth.log(), hole & ~sky),
            "sky": config.sky_weight * self._sky_loss(out.sky_logit, sky, hole),
            "kl": config.kl_weight * kl_divergence(mu, logvar.float()),
        }

    def journeys(self, generator: torch.Generator) -> list[Journey]:
        """A batch: the long journeys in progress, new ones for those that are over, and short ones."""
        self.flying = [journey for journey in self.flying if not journey.over]
        while len(self.flying) < self.config.long:
            self.flying.append(self.long_journey(generator))
        return self.flying + [self.short_journey(generator) for _ in range(self.config.short)]

    def long_journey(self, generator: torch.Generator) -> Journey:
        """Over a world; a short one where there are no flights."""
        if self.flights is None:
            return self.short_journey(generator)
        return world_journey(self.flights, int(torch.randint(len(self.flights), (), generator=generator)), generator)

    def leap(self, generator: torch.Generator) -> Journey:
        """Over a world, or at times of a photo."""
        short = chance(generator, self.config.short_share)
        return (self.short_journey(generator) if short else self.long_journey(generator)).leap()

    def short_journey(self, generator: torch.Generator) -> Journey:
        """Of a few keyframes: out of a photo and back, or between the frames of a pair."""
        config = self.config
        if self.photos is not None and (self.worlds is None or chance(generator, config.photo_share)):
            index = int(torch.randint(len(self.photos), (), generator=generator))
            return photo_journey(self.photos, index, config.height, config.width, generator)
        assert self.worlds is not None
        return pair_journey(self.worlds, int(torch.randint(config.pairs, (), generator=generator)), generator)

    def unroll(self, journeys: list[Journey], z: Tensor, generator: torch.Generator) -> Flown:
        """Fly to the next true frame of each journey; gradients go through the last steps, not through those before.

        Returns:
            the last views, what they became, where (B, H, W) they show what the steps before have drawn, and the true
            rgb and depth.
        """
        with torch.no_grad():
            for journey, code in zip(journeys, z, strict=True):
                while journey.reached + LAST_STEPS - 1 not in journey.truths:
                    self.advance(self.refiner, [journey], code[None], generator)
        truths = [journey.truths[journey.reached + LAST_STEPS - 1] for journey in journeys]
        views, batch, out, drawn = self.advance(self.refiner, journeys, z, generator)
        for _ in range(LAST_STEPS - 1):
            earlier = list(zip(views, out.rgb, strict=True))
            views, batch, out, drawn = self.advance(self.refiner, journeys, z, generator, earlier)
        return batch, out, drawn, self._stacked(truths)

    def look(self, journeys: list[Journey], z: Tensor, generator: torch.Generator) -> Flown:
        """The same for leaps, of which nothing was drawn before."""
        _, batch, out, drawn = self.advance(self.refiner, journeys, z, generator)
        return batch, out, drawn, self._stacked([journey.truths[0] for journey in journeys])

    def advance(
        self,
        refiner: Refiner,
        journeys: list[Journey],
        z: Tensor,
        generator: torch.Generator,
        earlier: list[tuple[View, Tensor]] | None = None,
    ) -> tuple[list[View], ViewBatch, Refined, Tensor]:
        """One keyframe of each journey: look, complete, write.

        Args:
            refiner: what completes.
            z: (B, ...) styles.
            earlier: the views one keyframe before and what they became, for gradients to go back to.
        """
        views = [journey.look() for journey in journeys]
        rgb, drawn = [view.rgb for view in views], [torch.zeros_like(view.known) for view in views]
        for k, (before, picture) in enumerate(earlier or []):
            copied = views[k].known & ~journeys[k].from_photo
            rgb[k], drawn[k] = drawn_before(views[k], copied, before, picture.cpu())
        batch = ViewBatch.of(views, [journey.from_photo for journey in journeys])
        batch = replace(batch, rgb=torch.stack(rgb)).to(self.kit.device)
        noise = torch.randn(len(rgb), 1, *rgb[0].shape[-2:], generator=generator).to(self.kit.device)
        with self.kit.autocast():
            out = refiner(batch, z, noise)
        for journey, view, picture, depth in zip(journeys, views, out.rgb, out.depth(batch), strict=True):
            journey.write(view, picture.cpu(), depth.cpu())
        return views, batch, out, torch.stack(drawn).to(self.kit.device)

    def _stacked(self, frames: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
        """rgb (B, 3, H, W) and depth (B, H, W) of several frames."""
        rgb = torch.stack([rgb for rgb, _ in frames]).to(self.kit.device, memory_format=torch.channels_last)
        return rgb, torch.stack([depth for _, depth in frames]).to(self.kit.device)

    @staticmethod
    def _sky_loss(logit: Tensor, sky: Tensor, hole: Tensor) -> Tensor:
        # Everywhere, so that it learns from all skies; holes count ten times.
        weight = 0.1 + 0.9 * hole.float()
        return (F.binary_cross_entropy_with_logits(logit, sky.float(), reduction="none") * weight).mean()

    def sample(self, generator: torch.Generator) -> Tensor:
        """A row for each journey: where it began, what is known at its end, that refined, the truth, disparity."""
        makers = [self.long_journey] * 4 + [self.short_journey] * 2
        journeys = [make(generator) for make in makers]
        network = self.ema["refiner"].module
        rows = []
        for journey in journeys:
            with self.kit.autocast():
                z = network.style(*self._stacked([(journey.rgb, journey.depth)]))[0].float()
            last = max(k for k in journey.truths if k <= max(SAMPLED_STEPS, min(journey.truths)))
            while journey.reached <= last:
                views, batch, out, _ = self.advance(network, [journey], z, generator)
            disparity = (1 - normalised_log_depth(out.depth(batch)))[0].cpu() / 2
            rgb = views[0].rgb * views[0].known
            shown = [journey.rgb, rgb, out.rgb[0].cpu(), journey.truths[last][0], disparity.expand_as(rgb)]
            rows.append(torch.cat(shown, dim=2))
        return torch.cat(rows, dim=1).clamp(0, 1)

    def export(self, folder: Path) -> None:
        network = fuse_spectral_norm(deepcopy(self.ema["refiner"].module))
        network.save_pretrained(folder, dtype=torch.bfloat16, overwrite=True)
