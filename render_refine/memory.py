"""World memory: everything that was ever shown, as points; written once, read from anywhere."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from render_refine.camera import Camera
from render_refine.chunks import ChunkedCloud
from render_refine.fill import beside, box_max, choose, close_cracks, closing, fill_behind, pull_push
from render_refine.points import PointCloud, lift, lift_sky
from render_refine.splat import Splat, soft_splat

COVERED = 0.05  # points per pixel from which a pixel counts as covered
DETAIL_MATCH = 24.0  # how strongly points made for this distance outweigh others on the same surface
FREE_SPACE_MARGIN = 0.03  # relative depth by which new points may stand in front of what was seen
BLINDLY = 2.0  # times its depth that a pixel moves at once, so as not to jump over what stands before the sky
PINHOLE = 1  # half the width, in pixels, of gaps in a surface that are no holes
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
        plain: (3, H, W) as ``rgb``, but without the detail that was made up; in a memory of one layer the same.
    """

    camera: Camera
    rgb: Tensor
    depth: Tensor
    density: Tensor
    known: Tensor
    plain: Tensor

    @property
    def sky(self) -> Tensor:
        """(H, W) bool."""
        return torch.isinf(self.depth)


class WorldMemory:
    """Coloured points in the world, and a sky at infinity. Points are never changed or removed.

    The same surface may be stored several times, each time finer, as the camera comes nearer; a view
    prefers the points that were made for its distance, so going back shows what was shown before.

    Args:
        device: where the points are.
        layers: 1, or 2 to keep what was drawn apart from the detail that was made up for it.
    """

    def __init__(self, device: torch.device | str = "cpu", layers: int = 1) -> None:
        self.layers = layers
        self.surface = ChunkedCloud(device)
        self.dome = ChunkedCloud(device)
        self.witnesses: list[tuple[Camera, Tensor]] = []

    def __len__(self) -> int:
        return len(self.surface) + len(self.dome)

    @torch.no_grad()
    def write(
        self, rgb: Tensor, depth: Tensor, camera: Camera, mask: Tensor | None = None, plain: Tensor | None = None
    ) -> None:
        """Store pixels of a frame.

        Args:
            rgb: (3, H, W) float [0, 1], kept at 8 bits.
            depth: (H, W) z in scene units; inf goes to the dome.
            camera: of the same size.
            mask: (H, W) bool, the pixels to store; all when left out.
            plain: as ``rgb``, without the detail that was made up; the same when left out. Kept in a second layer.
        """
        mask = torch.ones_like(depth, dtype=torch.bool) if mask is None else mask
        rgb = rgb if self.layers == 1 else torch.cat([rgb, rgb if plain is None else plain])
        colours = (rgb.clamp(0, 1) * 255).round().to(torch.uint8)
        self.surface.append(lift(colours, depth, camera, mask))
        self.dome.append(lift_sky(colours, camera, mask & torch.isinf(depth)))

    def witness(self, camera: Camera, depth: Tensor, most: int = 24) -> None:
        """Remember that this view was shown: nothing invented later may stand in front of it.

        Only the newest ``most`` views are kept, besides the first. Where ``depth`` is 0 the view says nothing.
        """
        # The nearest of each pixel's neighbours: towards the horizon these differ by more than any margin, and what
        # grows over an edge by a pixel hides nothing that would be missed.
        nearest = -box_max(-depth[None, None], 1)[0, 0]
        self.witnesses.append((camera, nearest))
        if len(self.witnesses) > most:
            del self.witnesses[1]

    @torch.no_grad()
    def behind_seen(self, depth: Tensor, camera: Camera, mask: Tensor, moves: int = 4) -> tuple[Tensor, Tensor]:
        """Move what would hide something that a witness has seen back behind it, along its ray.

        Args:
            depth: (H, W) z in scene units, inf in the sky, which hides nothing.
            camera: of the same size.
            mask: (H, W) bool, the pixels that may move.
            moves: how often. Behind one thing a pixel may stand before another; before the sky it goes on blindly.

        Returns:
            (H, W) depth and (H, W) bool, the pixels that hide something even there.
        """
        rows, columns = (mask & torch.isfinite(depth)).nonzero(as_tuple=True)
        depth, hides, rays = depth.clone(), torch.zeros_like(mask), camera.rays()
        for move in range(moves + 1):
            z = depth[rows, columns]
            behind = self._seen_over(camera.centre + rays[rows, columns] * z[:, None])
            in_front = behind > 1 / (1 - FREE_SPACE_MARGIN)
            rows, columns, z, behind = rows[in_front], columns[in_front], z[in_front], behind[in_front]
            if move < moves:
                depth[rows, columns] = z * behind.clamp_max(BLINDLY)
        hides[rows, columns] = True
        return depth, hides

    def _seen_over(self, xyz: Tensor) -> Tensor:
        """(N,) depth of what a witness saw over that of the point (N, 3) before it, the largest; 0 where none saw."""
        found = torch.zeros_like(xyz[:, 0])
        for seen_from, depth in self.witnesses:
            uv, z = seen_from.project(xyz)
            column, row = uv.floor().long().unbind(dim=-1)
            inside = (z > 0) & (column >= 0) & (column < seen_from.width) & (row >= 0) & (row < seen_from.height)
            seen = depth[row.clamp(0, seen_from.height - 1), column.clamp(0, seen_from.width - 1)]
            found = torch.where(inside, torch.maximum(found, seen / z), found)
        return found

    @torch.no_grad()
    def render(self, camera: Camera) -> View:
        """The memory seen from ``camera``, holes filled with first guesses."""
        view = self.look(camera)
        if view.known.all():
            return view
        # A hole is sky or ground: neither takes the other's colours.
        disparity, sky = 1 / view.depth[None, None], view.sky
        shown = torch.cat([view.rgb, view.plain][: self.layers])
        colours, known = shown[None], view.known[None, None]
        in_sky = _in_sky(sky & view.known, view.known)
        ground = fill_behind(torch.cat([colours, disparity], dim=1), disparity, known & ~sky, ~known)[0]
        guess = ground[:-1]
        if (in_sky & ~view.known).any():
            guess = choose(in_sky, _fill_sky(shown, view.known & sky), guess)
        far = torch.where(in_sky, torch.inf, 1 / ground[-1].clamp_min(1e-8))
        shown = choose(view.known, shown, guess.clamp(0, 1))
        depth = torch.where(view.known, view.depth, far)
        # Between the points of a rough surface single pixels stay open. They are no places that nobody saw.
        closed = closing(known.to(shown.dtype), PINHOLE)[0, 0] > 0.5
        density = torch.where(closed & ~view.known, 1.0, view.density)
        return View(camera, shown[:3], depth, density, closed, shown[-3:])

    @torch.no_grad()
    def look(self, camera: Camera) -> View:
        """The memory seen from ``camera``; what stands in its holes means nothing."""
        front = self._splat(self.surface.seen_by(camera), camera)
        octaves = front.features[:, -1]
        depth = torch.where(front.coverage > COVERED, front.depth, torch.inf)
        # Points that are magnified p-fold lie 1 / p^2 to a pixel, on ground at a grazing angle 1 / p^3. Where
        # fewer are counted, neighbours hide each other (rough slopes, silhouettes): that is no lack of detail.
        density = torch.maximum(front.coverage, torch.exp2(-3 * octaves)).clamp_max(1)
        rgb, depth, density = (x[0] for x in close_cracks(front.features[:, :-1], depth, density))
        rgb, depth, density = without_specks(rgb, depth, density, front.coverage[0])
        solid = torch.isfinite(depth)

        # The dome is stored as directions: a camera that only turns sees it as points at distance one.
        rotation = camera.cam_from_world.clone()
        rotation[:3, 3] = 0
        turned = camera.at(rotation)
        sky = self._splat(self.dome.seen_by(turned), turned)
        sky_seen = sky.coverage > COVERED
        sky_covered = closing(sky_seen[:, None].to(rgb.dtype), SKY_GAP)[0, 0] > 0.5
        known = solid | sky_covered
        sky_rgb = pull_push(sky.features[:, :-1], sky_seen[:, None].to(rgb.dtype))[0]
        rgb = choose(solid, rgb, sky_rgb)
        density = torch.where(solid, density, sky_covered.to(density.dtype))

        rgb = rgb.clamp(0, 1)
        return View(camera, rgb[:3], depth, density, known, rgb[-3:])

    def _splat(self, cloud: PointCloud, camera: Camera) -> Splat:
        """Splat a cloud; the features are rgb, layer by layer, and magnification in octaves."""
        if not len(cloud):
            cloud = PointCloud.empty(3 * self.layers, device=cloud.xyz.device)
        uv, z = camera.project(cloud.xyz)
        # (Chunks let few points through that lie outside of the picture; sorting these out costs more than they do.)
        # Size of the stored pixel in this view, in octaves: 0 where the point was made for this distance.
        octaves = torch.log2(cloud.footprint * camera.focal / z)
        fit = torch.exp(-DETAIL_MATCH * octaves**2) + 1e-6
        features = torch.cat([cloud.features.to(uv.dtype) / 255, octaves[:, None]], dim=1)
        return soft_splat(uv[None], z[None], features[None], camera.height, camera.width, weights=fit[None])


def _in_sky(sky: Tensor, known: Tensor) -> Tensor:
    """(H, W) bool, what is sky: of holes, those with sky to their left or right, or in the row above that has any."""
    left, right = beside(sky.float(), known, -1, beyond=-1.0)
    in_row = torch.maximum(left, right)
    # Above the picture is the sky, if there is any.
    above, _ = beside(in_row, in_row >= 0, -2, beyond=float(sky.any()))
    return above > 0.5


def _fill_sky(rgb: Tensor, known: Tensor) -> Tensor:
    """A sky (C, H, W) filled from where it is ``known`` (H, W) in its rows, then from the rows beside."""
    # The colours of a sky go by height above the horizon.
    weight = known.to(rgb.dtype)
    rows = pull_push(rgb.transpose(0, 1)[:, :, None], weight[:, None, None])
    found = known.any(dim=1)[:, None].expand_as(known).to(rgb.dtype)
    return pull_push(rows[:, :, 0].transpose(0, 1)[None], found[None, None])[0]


def without_specks(rgb: Tensor, depth: Tensor, density: Tensor, coverage: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Close gaps between the points of a surface, one pixel high or wide, through which one sees what lies behind.

    Args:
        rgb: (C, H, W); depth: (H, W), inf where nothing is; density: (H, W).
        coverage: (H, W) points per pixel. Where these lie one to a pixel there are no gaps.

    Returns:
        rgb, depth and density; pixels that are gaps have the means of the two pixels across the gap.
    """
    disparity, off = 1 / depth, (coverage - 1).abs()
    # The farther of the two pixels beside it, up and down, and left and right, if not both are full.
    high, wide = (
        torch.where(
            torch.maximum(off.roll(1, dim), off.roll(-1, dim)) > 0.01,
            torch.minimum(disparity.roll(1, dim), disparity.roll(-1, dim)),
            0.0,
        )
        for dim in (0, 1)
    )
    speck = disparity < 0.9 * torch.maximum(high, wide)
    speck[[0, -1]] = speck[:, [0, -1]] = False
    rows, columns = speck.nonzero(as_tuple=True)
    aside = (wide > high)[rows, columns].long()
    beside = torch.stack([rows - 1 + aside, rows + 1 - aside]), torch.stack([columns - aside, columns + aside])
    rgb, depth, density = rgb.clone(), depth.clone(), density.clone()
    rgb[:, rows, columns] = rgb[:, *beside].mean(dim=1)
    depth[rows, columns] = 1 / disparity[beside].mean(dim=0)
    density[rows, columns] = density[beside].mean(dim=0)
    return rgb, depth, density
