"""World memory: everything that was ever shown, as points; written once, read from anywhere."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from render_refine.camera import Camera
from render_refine.chunks import ChunkedCloud
from render_refine.fill import close_cracks, closing, fill_far, pull_push
from render_refine.points import PointCloud, lift, lift_sky
from render_refine.splat import Splat, soft_splat

COVERED = 0.05  # points per pixel from which a pixel counts as covered
DETAIL_MATCH = 8.0  # how strongly points made for this distance outweigh others on the same surface
FREE_SPACE_MARGIN = 0.03  # relative depth by which new points may stand in front of what was seen
SKY_GAP = 2  # half the width, in pixels, of gaps between points of the sky that are no holes


@dataclass(frozen=True, eq=False)
class View:
    """The memory seen through a camera.

    Attributes:
        camera: the camera.
        rgb: (3, H, W) float [0, 1].
        depth: (H, W) z in scene units, inf in the sky.
        density: (H, W) points per pixel on the visible surface: 1 as stored, 0.25 magnified twofold, 0 in holes.
        known: (H, W) bool, False in holes.
    """

    camera: Camera
    rgb: Tensor
    depth: Tensor
    density: Tensor
    known: Tensor

    @property
    def sky(self) -> Tensor:
        """(H, W) bool."""
        return torch.isinf(self.depth)


class WorldMemory:
    """Coloured points in the world, and a sky at infinity. Points are never changed or removed.

    The same surface may be stored several times, each time finer, as the camera comes nearer; a view
    prefers the points that were made for its distance, so going back shows what was shown before.
    """

    def __init__(self, device: torch.device | str = "cpu") -> None:
        self.surface = ChunkedCloud(device)
        self.dome = ChunkedCloud(device)
        self.witnesses: list[tuple[Camera, Tensor]] = []

    def __len__(self) -> int:
        return len(self.surface) + len(self.dome)

    @torch.no_grad()
    def write(self, rgb: Tensor, depth: Tensor, camera: Camera, mask: Tensor | None = None) -> None:
        """Store pixels of a frame.

        Args:
            rgb: (3, H, W) float [0, 1], kept at 8 bits.
            depth: (H, W) z in scene units; inf goes to the dome.
            camera: of the same size.
            mask: (H, W) bool, the pixels to store; all when left out.
        """
        mask = torch.ones_like(depth, dtype=torch.bool) if mask is None else mask
        colours = (rgb.clamp(0, 1) * 255).round().to(torch.uint8)
        self.surface.append(lift(colours, depth, camera, mask))
        self.dome.append(lift_sky(colours, camera, mask & torch.isinf(depth)))

    def witness(self, camera: Camera, depth: Tensor, most: int = 24) -> None:
        """Remember that this view was shown: nothing invented later may stand in front of it.

        Only the newest ``most`` views are kept, besides the first.
        """
        self.witnesses.append((camera, depth))
        if len(self.witnesses) > most:
            del self.witnesses[1]

    @torch.no_grad()
    def occludes_seen(self, depth: Tensor, camera: Camera, mask: Tensor) -> Tensor:
        """Which pixels of ``mask`` (H, W) would, at this depth, hide something that a witness has seen."""
        cloud = lift(mask[None], depth, camera, mask)
        hides = torch.zeros(len(cloud), dtype=torch.bool, device=depth.device)
        for seen_from, seen_depth in self.witnesses:
            uv, z = seen_from.project(cloud.xyz)
            column, row = uv.floor().long().unbind(dim=-1)
            inside = (z > 0) & (column >= 0) & (column < seen_from.width) & (row >= 0) & (row < seen_from.height)
            seen = seen_depth[row.clamp(0, seen_from.height - 1), column.clamp(0, seen_from.width - 1)]
            hides |= inside & (z < seen * (1 - FREE_SPACE_MARGIN))
        out = torch.zeros_like(mask)
        out[mask & torch.isfinite(depth)] = hides
        return out

    @torch.no_grad()
    def render(self, camera: Camera) -> View:
        """The memory seen from ``camera``, holes filled with first guesses."""
        view = self.look(camera)
        # From the far side of the holes, and sky only where the sky is all around.
        disparity = 1 / view.depth
        guess = torch.cat([view.rgb, disparity[None], (~torch.isfinite(view.depth))[None].to(view.rgb.dtype)])[None]
        guess = fill_far(guess, disparity[None, None], view.known[None, None])[0]
        filled_depth = torch.where(guess[4] > 0.5, torch.inf, 1 / guess[3].clamp_min(1e-8))
        depth = torch.where(view.known, view.depth, filled_depth)
        return View(camera, guess[:3].clamp(0, 1), depth, view.density, view.known)

    @torch.no_grad()
    def look(self, camera: Camera) -> View:
        """The memory seen from ``camera``; what stands in its holes means nothing."""
        front = self._splat(self.surface.seen_by(camera), camera)
        octaves = front.features[:, 3]
        depth = torch.where(front.coverage > COVERED, front.depth, torch.inf)
        # Points that are magnified p-fold lie 1 / p^2 to a pixel, on ground at a grazing angle 1 / p^3. Where
        # fewer are counted, neighbours hide each other (rough slopes, silhouettes): that is no lack of detail.
        density = torch.maximum(front.coverage, torch.exp2(-3 * octaves)).clamp_max(1)
        rgb, depth, density = (x[0] for x in close_cracks(front.features[:, :3], depth, density))
        solid = torch.isfinite(depth)

        # The dome is stored as directions: a camera that only turns sees it as points at distance one.
        rotation = camera.cam_from_world.clone()
        rotation[:3, 3] = 0
        turned = camera.at(rotation)
        sky = self._splat(self.dome.seen_by(turned), turned)
        sky_seen = sky.coverage > COVERED
        sky_covered = closing(sky_seen[:, None].to(rgb.dtype), SKY_GAP)[0, 0] > 0.5
        known = solid | sky_covered
        sky_rgb = pull_push(sky.features[:, :3], sky_seen[:, None].to(rgb.dtype))[0]
        rgb = torch.where(solid, rgb, sky_rgb)
        density = torch.where(solid, density, sky_covered.to(density.dtype))

        return View(camera, rgb.clamp(0, 1), depth, density, known)

    def _splat(self, cloud: PointCloud, camera: Camera) -> Splat:
        """Splat a cloud; the features are rgb and magnification in octaves."""
        uv, z = camera.project(cloud.xyz)
        reach = 1.0
        seen = (z > 0) & (uv > -reach).all(dim=-1)
        seen &= (uv[:, 0] < camera.width + reach) & (uv[:, 1] < camera.height + reach)
        uv, z, cloud = uv[seen], z[seen], cloud[seen]
        # Size of the stored pixel in this view, in octaves: 0 where the point was made for this distance.
        octaves = torch.log2(cloud.footprint * camera.focal / z)
        fit = torch.exp(-DETAIL_MATCH * octaves**2) + 1e-6
        features = torch.cat([cloud.features.to(uv.dtype) / 255, octaves[:, None]], dim=1)
        return soft_splat(uv[None], z[None], features[None], camera.height, camera.width, weights=fit[None])
