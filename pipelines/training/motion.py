"""Recipe: how label maps move, learned on worlds with exact flow."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from pipelines.training.augment import chance
from pipelines.training.clip_batch import ClipSource
from pipelines.training.run import EMA, Kit
from render_refine.losses import masked_l1
from vid2vid.classes import CLASSES
from vid2vid.generator import one_hot
from vid2vid.motion import COARSER, FLOW_UNIT, Motion, MotionConfig, MotionNetwork

# Many label sets do not tell these apart.
COARSER_CLASSES = {"marking": "road", "pavement": "road", "sign": "pole", "fence": "building", "bicycle": "person"}


@dataclass(frozen=True)
class MotionTraining:
    """What the motion recipe trains, and with which settings."""

    network: MotionConfig = field(default_factory=MotionConfig)
    batch: int = 6
    learning_rate: float = 1e-3
    visible_weight: float = 0.3


class MotionRecipe:
    """A network that predicts flow and visibility from label maps."""

    name = "motion"

    def __init__(self, kit: Kit, source: ClipSource, config: MotionTraining) -> None:
        self.kit, self.source, self.config = kit, source, config
        network = MotionNetwork(config.network).to(kit.device).to(memory_format=torch.channels_last)
        self.modules = {"network": network}
        self.optimisers = {"network": torch.optim.AdamW(network.parameters(), config.learning_rate, weight_decay=1e-3)}
        self.ema = {"network": EMA(network, 0.998)}

    def step(self, step: int, generator: torch.Generator) -> dict[str, Tensor]:
        rate = 0.5 * (1 + math.cos(math.pi * self.kit.progress)) * min(1.0, (step + 1) / 100)
        for group in self.optimisers["network"].param_groups:
            group["lr"] = self.config.learning_rate * rate
        predicted, flow, visible = self.predict(self.modules["network"], self.config.batch, generator)
        moves = masked_l1(predicted.flow, flow, visible) / (COARSER * FLOW_UNIT)
        seen = F.binary_cross_entropy_with_logits(predicted.logit, visible.float())
        self.kit.descend(self.optimisers["network"], moves + self.config.visible_weight * seen)
        error = masked_l1(predicted.flow.detach(), flow, visible)
        return {"pixels": error, "visible": seen.detach()}

    def predict(
        self, network: torch.nn.Module, clips: int, generator: torch.Generator
    ) -> tuple[Motion, Tensor, Tensor]:
        """The motion of a batch, the true flow (B, 2, H, W), and which pixels are visible (B, 1, H, W)."""
        batch = self.source.batch(clips, 3, generator)
        labels = batch.labels
        for fine, coarse in COARSER_CLASSES.items():
            if chance(generator, 0.3):
                labels = torch.where(labels == CLASSES.index(fine), CLASSES.index(coarse), labels)
        maps = [one_hot(labels[:, t]).to(self.kit.device) for t in range(3)]
        now, before = batch.match(2, 1), batch.match(1, 0)
        with self.kit.autocast():
            last = torch.zeros_like(before.flow).to(maps[0])
            if chance(generator, 0.7):
                # The first frames of a clip have no motion to go by; later ones have the network's own.
                with torch.no_grad():
                    last = network(maps[1], maps[0], last).flow
            predicted = network(maps[2], maps[1], last)
        return predicted, now.flow.to(last), now.visible.to(last.device)

    def sample(self, generator: torch.Generator) -> Tensor:
        """Rows of true and predicted flow, red for right and green for down, and of predicted visibility."""
        predicted, flow, visible = self.predict(self.ema["network"].module, 6, generator)

        def shown(field_: Tensor) -> Tensor:
            return torch.cat([0.5 + field_ / 24, torch.full_like(field_[:, :1], 0.5)], dim=1)

        trust = torch.sigmoid(predicted.logit).expand(-1, 3, -1, -1)
        rows = [shown(flow), shown(predicted.flow), visible.float().expand(-1, 3, -1, -1), trust]
        return torch.cat([torch.cat(list(row), dim=2) for row in rows], dim=1).clamp(0, 1).cpu()

    def export(self, folder: Path) -> None:
        self.ema["network"].module.save_pretrained(folder, dtype=torch.bfloat16, overwrite=True)
