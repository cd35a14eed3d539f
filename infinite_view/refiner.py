"""The refiner of a flight: draws what the memory does not know, and sharpens what it saw from too far.

The condition is Infinite Nature's (rendered colour, disparity and mask; Liu et al. 2021, section 3.2), with
the mask refined to two maps: where nothing is known, and how far each surface is magnified.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from infinite_view.aerial import STEPS, change_on_approach, colours_by_distance
from render_refine.fill import weighted_mean
from render_refine.memory import View
from render_refine.pretrained import Pretrained
from render_refine.spade import SpadeConfig, SpadeGenerator, StyleConfig, StyleEncoder

CONDITION_CHANNELS = 11  # rgb, log depth, sky, hole, magnification, noise, expected change of colour
OUT_CHANNELS = 8  # rgb, log depth, sky, how far the colours change as expected
STYLE_CHANNELS = 4  # rgb, log depth
INVENTION = 0.08  # how strongly the first guess in a hole may change, as a share of the full colour range


@dataclass(frozen=True)
class RefinerConfig:
    """Networks of the refiner, and how freely it may change what is only magnified.

    Attributes:
        generator: its conditions and outputs are as above.
        style: encoder of the start image; its ``style_dim`` equals the generator's.
        detail: how strongly a magnified surface may change, as a share of the full colour range.
    """

    generator: SpadeConfig = field(
        default_factory=lambda: SpadeConfig(
            (CONDITION_CHANNELS,), OUT_CHANNELS, (96, 96, 64, 48, 32, 24), 32, style_dim=32
        )
    )
    style: StyleConfig = field(
        default_factory=lambda: StyleConfig(STYLE_CHANNELS, (16, 32, 64, 64, 64), style_dim=32, grid=(2, 2))
    )
    detail: float = 0.2

    def __post_init__(self) -> None:
        found = (self.generator.condition_channels, self.generator.out_channels)
        if found != ((CONDITION_CHANNELS,), OUT_CHANNELS):
            raise ValueError(f"expected {CONDITION_CHANNELS} condition and {OUT_CHANNELS} output channels, got {found}")


@dataclass(frozen=True, eq=False)
class Refined:
    """A complete frame: rgb (B, 3, H, W) in [0, 1], log_depth (B, H, W), sky_logit (B, H, W)."""

    rgb: Tensor
    log_depth: Tensor
    sky_logit: Tensor

    def depth(self, view: ViewBatch) -> Tensor:
        """(B, H, W) depth of the completed ``view``: as known, in holes as drawn, inf where that is sky."""
        drawn = torch.where(self.sky_logit > 0, torch.inf, self.log_depth.exp())
        return torch.where(view.known, view.depth, drawn)


class Refiner(Pretrained, nn.Module):
    """SPADE generator and style encoder, applied to views of the memory."""

    config_type = RefinerConfig

    def __init__(self, config: RefinerConfig) -> None:
        super().__init__()
        self.config = config
        self.generator = SpadeGenerator(config.generator)
        self.style_encoder = StyleEncoder(config.style)

    def style(self, rgb: Tensor, depth: Tensor) -> tuple[Tensor, Tensor]:
        """The style of start images (B, 3, H, W), (B, H, W): a code, and their colours by distance.

        Returns:
            (B, style_dim + 3 * STEPS) the code's mean and the colours, and (B, style_dim) the code's log-variance.
        """
        mean, log_variance = self.style_encoder(torch.cat([rgb * 2 - 1, normalised_log_depth(depth)[:, None]], dim=1))
        return torch.cat([mean, colours_by_distance(rgb, depth).flatten(1).to(mean.dtype)], dim=1), log_variance

    def forward(self, view: ViewBatch, z: Tensor, noise: Tensor) -> Refined:
        """Complete a batch of views.

        Known pixels at full density keep their colour and depth exactly; magnified ones change by at most
        twice ``config.detail``; in holes by at most twice `INVENTION`. Colours are locked to their surroundings: the
        network adds detail, never an overall tint of its own (see `without_drift`), but to what comes from the photo:
        that does so each time anew, so no tint adds up. What comes nearer may change
        as the start image does with distance, up to twice as much (see `infinite_view.aerial`).

        Args:
            view: the views.
            z: style (B, style_dim + 3 * STEPS).
            noise: (B, 1, H, W), standard normal: what tells one patch of new ground from another.
        """
        z, colours = z[:, : self.config.style.style_dim], z[:, self.config.style.style_dim :]
        expected = view.expected_change(colours.float().unflatten(1, (3, STEPS)))
        out = self.generator(torch.cat([view.condition(noise), 4 * expected], dim=1), z=z).float()
        hole = (~view.known)[:, None].float()
        coarse = magnified(view.density)[:, None] * (1 - hole)
        change = torch.tanh(out[:, :3])
        rgb = view.rgb + INVENTION * hole * without_drift(change, hole)
        free = coarse * view.from_photo[:, None]
        locked = coarse - free
        rgb = rgb + self.config.detail * (free * change + locked * without_drift(change, locked))
        rgb = rgb + 2 * torch.sigmoid(out[:, 5:]) * expected
        depth = torch.where(torch.isinf(view.depth), view.far()[:, None, None], view.depth)
        # Only holes get a new depth, within a factor of e of the first guess. Its scale is locked on the
        # overlap: what the network would add to known surfaces, in the median, is taken off everywhere.
        change = torch.tanh(out[:, 3])
        overlap = torch.where(view.known & torch.isfinite(view.depth), change.detach(), torch.nan)
        drift = overlap.flatten(1).nanmedian(dim=1).values.nan_to_num()
        change = torch.where(view.known, 0.0, change - drift[:, None, None])
        return Refined(rgb.clamp(0, 1), depth.log() + change, out[:, 4])


@dataclass(frozen=True, eq=False)
class ViewBatch:
    """Views of the same size, stacked: rgb (B, 3, H, W), depth, density, known (B, H, W).

    Attributes:
        from_photo: (B, H, W) bool, what is enlarged from the photo that the flight began with.
    """

    rgb: Tensor
    depth: Tensor
    density: Tensor
    known: Tensor
    from_photo: Tensor

    @staticmethod
    def of(views: Sequence[View], from_photo: list[Tensor] | None = None) -> ViewBatch:
        """Stack views; nothing of them is from the photo where that is left out."""
        from_photo = from_photo or [torch.zeros_like(view.known) for view in views]
        rgb, depth, density, known = (
            torch.stack([getattr(view, name) for view in views]) for name in ("rgb", "depth", "density", "known")
        )
        return ViewBatch(rgb, depth, density, known, torch.stack(from_photo))

    def to(self, device: torch.device) -> ViewBatch:
        """The views on another device."""
        return ViewBatch(*(x.to(device) for x in (self.rgb, self.depth, self.density, self.known, self.from_photo)))

    def far(self) -> Tensor:
        """(B,) largest finite depth of each view, 1 where all is sky."""
        far = torch.where(torch.isinf(self.depth), 0.0, self.depth).flatten(1).amax(dim=1)
        return torch.where(far > 0, far, torch.ones_like(far))

    def condition(self, noise: Tensor) -> Tensor:
        """(B, 8, H, W), about [-1, 1]: rgb, log depth, sky, hole, magnification, noise in new places."""
        hole = (~self.known).float()
        new = torch.maximum(hole, magnified(self.density))
        maps = [normalised_log_depth(self.depth), torch.isinf(self.depth).float(), hole, magnified(self.density)]
        return torch.cat([self.rgb * 2 - 1, torch.stack(maps, dim=1), 0.5 * noise * new[:, None]], dim=1)

    def expected_change(self, colours: Tensor) -> Tensor:
        """(B, 3, H, W): how much redder, greener and bluer magnified surfaces look in the start image, seen as near.

        Args:
            colours: (B, 3, STEPS), of the start images by distance.
        """
        coarse = self.known & torch.isfinite(self.depth) & (magnified(self.density) > 0)
        # On ground seen at a grazing angle, points that are magnified p-fold lie 1 / p^3 to a pixel.
        magnification = self.density.clamp(1 / 64, 1) ** (-1 / 3)
        change = change_on_approach(colours, self.depth, magnification)
        weight = coarse[:, None].float()
        return weight * weighted_mean(change, weight, 4)


def without_drift(change: Tensor, weight: Tensor, radius: int = 16) -> Tensor:
    """A change (B, 3, H, W) without its local mean over the pixels that change, by ``weight`` (B, 1, H, W).

    New ground is drawn next to ground that was drawn before: the slightest common tint would grow from
    keyframe to keyframe until it is all there is. So tints come from what is known, through the first guess.
    """
    return change - weighted_mean(change, weight, radius)


def magnified(density: Tensor) -> Tensor:
    """How much a surface is under-sampled, [0, 1]: 0 from 0.8 points per pixel, 1 from 0.4 downwards."""
    return ((0.8 - density) / 0.4).clamp(0, 1)


def normalised_log_depth(depth: Tensor) -> Tensor:
    """(B, H, W) depth to about [-1, 1] without a unit: log depth about its median, in steps of e^3; sky is 1."""
    finite = torch.isfinite(depth)
    log_depth = torch.where(finite, depth, torch.ones_like(depth)).log()
    medians = torch.where(finite, log_depth, torch.nan).flatten(1).nanmedian(dim=1).values.nan_to_num()
    relative = ((log_depth - medians[:, None, None]) / 3).clamp(-1, 1)
    return torch.where(finite, relative, torch.ones_like(relative))
