"""The photo that a flight begins with, looked up wherever a view shows what it shows.

Points that are splatted are softer than the picture they were made from, and lie where they lie only to a pixel. What
the photo shows of a view is therefore read from the photo itself, where the view's rays meet the photo's surface.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise

import torch
from kornia.filters import gaussian_blur2d
from torch import Tensor

from render_refine.camera import Camera
from render_refine.fill import weighted_mean
from render_refine.memory import View
from render_refine.warp import depth_met, sample, visible_motion

# Times as large as in the photo. Below the first points are averaged, not looked up; from the second on all are.
SMALLER = (0.7, 0.9)
BLURS = (0.0, 0.75, 1.5, 3.0)  # pixels of the photo
STRETCHED = 6.0  # times as much in height as in width, at most
AROUND = 2  # radius in pixels over which steps are averaged


@dataclass(frozen=True, eq=False)
class Photo:
    """A picture that was taken, not drawn: rgb (3, H, W) in [0, 1], depth (H, W), inf in the sky, its camera."""

    rgb: Tensor
    depth: Tensor
    camera: Camera

    @cached_property
    def levels(self) -> Tensor:
        """(1, 3 * len(BLURS), H, W): the photo under blurs along its rows."""
        size = 2 * math.ceil(2.5 * BLURS[-1]) + 1
        soft = (gaussian_blur2d(self.rgb[None], (1, size), (1.0, sigma), "replicate") for sigma in BLURS[1:])
        return torch.cat([self.rgb[None], *soft], dim=1)

    def at(self, places: Tensor, seen: Tensor) -> Tensor:
        """Its colours (3, h, w) at places (h, w, 2), as fine from left to right as from top to bottom.

        Ground that is seen at a grazing angle is enlarged more in height than in width. Without a blur along the rows
        each pixel of the photo would become an upright streak.

        Args:
            seen: (h, w) bool, where the places mean something.
        """
        wide, tall = (_steps(places[..., k], dim, seen) for k, dim in ((0, -1), (1, -2)))
        stretched = (wide / tall.clamp_min(1e-3)).clamp(1, STRETCHED)
        sigma = 0.5 * (stretched.square() - 1).sqrt()
        levels = sample(self.levels, places[None], interpolation="bicubic")[0][0].split(3)
        rgb = levels[0]
        for level, (low, high) in zip(levels[1:], pairwise(BLURS), strict=True):
            rgb = torch.lerp(rgb, level, ((sigma - low) / (high - low)).clamp(0, 1))
        return rgb.clamp(0, 1)

    def shared(self, view: View) -> tuple[View, Tensor, Tensor, Tensor]:
        """The ground that a view has in common with the photo. The sky is left to the memory's dome.

        Returns:
            the view, its depth made that of the photo's surface; its places (h, w, 2) in the photo; (h, w) bool where
            it is; and (h, w) how many times as large the view shows it.
        """
        met, _ = depth_met(view.depth, view.camera, self.depth, self.camera)
        flow, seen = visible_motion(met, view.camera, self.depth, self.camera)
        ground = torch.isfinite(met)
        _, z = self.camera.project(view.camera.unproject(torch.where(ground, met, 1.0)).flatten(0, 1))
        scale = torch.where(ground, z.view_as(met) / met, 1.0) * (view.camera.focal / self.camera.focal)
        seen = seen & view.known
        depth = torch.where(seen, met, view.depth)
        return replace(view, depth=depth), flow.permute(1, 2, 0) + view.camera.pixel_centres(), seen & ground, scale

    def shown_in(self, view: View) -> View:
        """A view with the photo itself where its points are seen, as large as in the photo or larger."""
        view, places, seen, scale = self.shared(view)
        low, high = SMALLER
        weight = seen * ((scale - low) / (high - low)).clamp(0, 1)
        return replace(view, rgb=(view.rgb + weight * (self.at(places, seen) - view.plain)).clamp(0, 1))


def _steps(places: Tensor, dim: int, seen: Tensor) -> Tensor:
    """(h, w) by how many pixels of the photo places (h, w) go on from pixel to pixel along ``dim``, about each."""
    steps = (places.roll(-1, dim) - places.roll(1, dim)).abs() / 2
    # Not from surface to surface, and not round the border.
    smooth = (seen & seen.roll(-1, dim) & seen.roll(1, dim) & (steps < 2)).to(places.dtype)
    return weighted_mean(steps.nan_to_num(0.0, 0.0, 0.0), smooth, AROUND)
