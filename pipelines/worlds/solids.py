"""Solid things of one kind: the unit cube cut by a sphere, stretched, turned and sheared into place.

A sphere of radius sqrt(3) leaves the cube whole, one of radius 1 leaves a ball, those between round its edges. A
negative radius stands for an upright cylinder instead of a sphere. So walls, roofs, poles, cars, table legs and tree
crowns are met by one ray test. Everything that is asked of many solids is asked of
(ray, solid) pairs at once, and only of pairs whose bounds overlap in the picture (or in the shadow's plane).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

from render_refine.camera import Camera

BOX, BALL, CYLINDER = 2.0, 1.0, -1.0  # radii of the cutting sphere
NEAR = 0.05
SHADOW_CELLS = 96
CORNERS = tuple(itertools.product((-1.0, 1.0), repeat=3))
EDGES = tuple((a, b) for a in range(8) for b in range(a + 1, 8) if (a ^ b) in (1, 2, 4))


@dataclass(frozen=True, eq=False)
class Solids:
    """N solids.

    Attributes:
        centre: (N, 3) in metres, y down; axes: (N, 3, 3), whose columns are the half axes; radius: (N,) of the
            sphere that cuts the unit cube, negative for a cylinder about the second half axis.
        label: (N,) index of CLASSES; material: (N,) what they are made of.
        colour, accent: (N, 3) linear albedo; shape: (N, 4) numbers of the material; seed: (N,) in [0, 1).
        velocity: (N, 3) in m/s.
    """

    centre: Tensor
    axes: Tensor
    radius: Tensor
    label: Tensor
    material: Tensor
    colour: Tensor
    accent: Tensor
    shape: Tensor
    seed: Tensor
    velocity: Tensor

    def __len__(self) -> int:
        return len(self.centre)

    def at(self, time: float) -> Solids:
        """The same things after ``time`` seconds."""
        return replace(self, centre=self.centre + time * self.velocity)

    def to(self, device: torch.device | str) -> Solids:
        """The same things on another device."""
        return Solids(**{f.name: getattr(self, f.name).to(device) for f in fields(self)})

    def take(self, keep: Tensor) -> Solids:
        """Those that a mask or an index (M,) picks."""
        return Solids(**{f.name: getattr(self, f.name)[keep] for f in fields(self)})

    def corners(self) -> Tensor:
        """(N, 8, 3) corners of the bounding parallelepipeds."""
        signs = self.centre.new_tensor(CORNERS)
        return self.centre[:, None] + torch.einsum("kj,nij->nki", signs, self.axes)


def interval(origin: Tensor, ray: Tensor, radius: Tensor) -> tuple[Tensor, Tensor]:
    """Where rays (3, P) from origins (3, P), in unit coordinates, enter and leave their solids; enter > leave: miss."""
    safe = torch.where(ray.abs() < 1e-12, torch.full_like(ray, 1e-12), ray)
    one, other = (-1 - origin) / safe, (1 - origin) / safe
    enter = torch.minimum(one, other).amax(0)
    leave = torch.maximum(one, other).amin(0)
    if (radius < 0).any():
        flat = torch.ones_like(origin)
        flat[1] = radius > 0
        origin, ray = origin * flat, safe * flat
    square = (ray * ray).sum(0)
    middle = -(origin * ray).sum(0) / square
    # The distance of closest approach, not the usual discriminant: that one cancels for small things far away.
    off = origin + middle * ray
    inside = radius * radius - (off * off).sum(0)
    half = (inside.clamp_min(0) / square).sqrt()
    enter, leave = torch.maximum(enter, middle - half), torch.minimum(leave, middle + half)
    return torch.where(inside < 0, torch.full_like(enter, torch.inf), enter), leave


def length(vectors: Tensor) -> Tensor:
    """Euclidean length over the first dimension; ``torch.linalg.norm`` takes ten times as long over short ones."""
    return vectors.square().sum(0).sqrt()


def into(matrix: Tensor, vector: Tensor) -> Tensor:
    """Rows of 3x3 matrices (9, P) times vectors (3, P)."""
    m, (x, y, z) = matrix, vector
    return torch.stack([m[3 * k] * x + m[3 * k + 1] * y + m[3 * k + 2] * z for k in range(3)])


def expand(counts: Tensor) -> tuple[Tensor, Tensor]:
    """Owner and running number within the owner, for owners that have ``counts`` (N,) things each."""
    owner = torch.repeat_interleave(torch.arange(len(counts), device=counts.device), counts)
    start = counts.cumsum(0) - counts
    return owner, torch.arange(len(owner), device=counts.device) - start[owner]


def screen_pairs(corners: Tensor, camera: Camera) -> tuple[Tensor, Tensor]:
    """(solid, pixel) indices of all pixels within the bounds of each solid's corners (N, 8, 3)."""
    matrix = camera.cam_from_world
    inside = corners @ matrix[:3, :3].T + matrix[:3, 3]
    ends = torch.tensor(EDGES, device=corners.device)
    a, b = inside[:, ends[:, 0]], inside[:, ends[:, 1]]
    gap = b[..., 2] - a[..., 2]
    share = (NEAR - a[..., 2]) / torch.where(gap.abs() < 1e-9, torch.ones_like(gap), gap)
    crosses = (a[..., 2] - NEAR) * (b[..., 2] - NEAR) < 0
    points = torch.cat([inside, a + share[..., None] * (b - a)], dim=1)
    counts = torch.cat([inside[..., 2] >= NEAR, crosses], dim=1)
    z = points[..., 2].clamp_min(0.5 * NEAR)
    size = (camera.width, camera.height)
    low, high = [], []
    for k in range(2):
        at = points[..., k] / z * camera.K[k, k] + camera.K[k, 2]
        first = torch.where(counts, at, torch.full_like(at, 1e9)).amin(1)
        last = torch.where(counts, at, torch.full_like(at, -1e9)).amax(1)
        low.append((first - 0.5).ceil().clamp(0, size[k]).long())
        high.append((last - 0.5).floor().clamp(-1, size[k] - 1).long())
    across, down = (high[0] - low[0] + 1).clamp_min(0), (high[1] - low[1] + 1).clamp_min(0)
    solid, number = expand(across * down)
    width = across[solid].clamp_min(1)
    row = low[1][solid] + torch.div(number, width, rounding_mode="floor")
    return solid, row * camera.width + low[0][solid] + number % width


def first_hit(
    solids: Solids, camera: Camera, rays: Tensor, pixels: Tensor, holed: Callable[[Tensor, Tensor, Tensor], Tensor]
) -> tuple[Tensor, Tensor]:
    """Depth (P,) at which each ray first meets a solid, inf for none, and which (P,), -1 for none.

    Args:
        rays: (3, P) of ``camera`` through its ``pixels`` (P,), counted row by row; scaled to depth 1.
        holed: says for (solid, world point (3, M), depth) which points are holes that a ray passes.
    """
    eye = camera.centre
    solid, pixel = screen_pairs(solids.corners(), camera)
    if len(pixels) < camera.height * camera.width:
        place = torch.full((camera.height * camera.width,), -1, device=rays.device)
        place[pixels] = torch.arange(len(pixels), device=rays.device)
        pixel = place[pixel]
        solid, pixel = solid[pixel >= 0], pixel[pixel >= 0]
    matrix = torch.linalg.inv(solids.axes).reshape(-1, 9).T.contiguous()
    origin = into(matrix, (eye - solids.centre).T)
    enter, leave = interval(origin[:, solid], into(matrix[:, solid], rays[:, pixel]), solids.radius[solid])
    hit = (enter <= leave) & (enter > NEAR)
    solid, pixel, enter, leave = solid[hit], pixel[hit], enter[hit], leave[hit]
    depth = enter
    for candidate in (leave, torch.full_like(leave, torch.inf)):
        point = eye[:, None] + depth * rays[:, pixel]
        depth = torch.where(holed(solid, point, depth), candidate, depth)
    best = torch.full((rays.shape[1],), torch.inf, device=rays.device)
    best = best.scatter_reduce(0, pixel, depth, "amin")
    won = (depth == best[pixel]) & depth.isfinite()
    index = torch.full_like(best, -1, dtype=torch.long).scatter_reduce(0, pixel[won], solid[won], "amax")
    return best, index


def plane_pairs(points: Tensor, solids: Solids, direction: Tensor, margin: float = 0.0) -> tuple[Tensor, Tensor]:
    """(point, solid) indices of pairs that may lie in line with each other along unit ``direction`` (3,).

    Points (3, P) are binned in a grid across that direction, solids by their bounds widened by ``margin`` metres.
    """
    if points.shape[1] == 0:
        none = torch.zeros(0, dtype=torch.long, device=points.device)
        return none, none
    helper = points.new_tensor([0.0, 0.0, 1.0] if abs(direction[2].item()) < 0.9 else [1.0, 0.0, 0.0])
    first = torch.linalg.cross(direction, helper)
    first = first / first.norm()
    plane = torch.stack([first, torch.linalg.cross(direction, first)])
    at, corners = plane @ points, solids.corners() @ plane.T
    start = at.amin(1)
    cell = ((at.amax(1) - start) / SHADOW_CELLS).clamp_min(1e-3)
    index = ((at - start[:, None]) / cell[:, None]).long().clamp(0, SHADOW_CELLS - 1)
    bins = index[1] * SHADOW_CELLS + index[0]
    low = ((corners.amin(1) - margin - start) / cell).floor().clamp(0, SHADOW_CELLS).long()
    high = ((corners.amax(1) + margin - start) / cell).floor().clamp(-1, SHADOW_CELLS - 1).long()
    size = (high - low + 1).clamp_min(0)
    solid, number = expand(size[:, 0] * size[:, 1])
    width = size[solid, 0].clamp_min(1)
    row = low[solid, 1] + torch.div(number, width, rounding_mode="floor")
    place = row * SHADOW_CELLS + low[solid, 0] + number % width
    order = bins.argsort()
    held = torch.bincount(bins, minlength=SHADOW_CELLS**2)
    begin = held.cumsum(0) - held
    pair, number = expand(held[place])
    return order[begin[place[pair]] + number], solid[pair]


def sun_share(points: Tensor, solids: Solids, sun: Tensor, density: Tensor) -> Tensor:
    """Share of the sun's light (P,) that reaches points (3, P) past solids of optical ``density`` (N,)."""
    point, solid = plane_pairs(points, solids, sun)
    matrix = torch.linalg.inv(solids.axes).reshape(-1, 9).T.contiguous()
    ray = into(matrix, sun[:, None].expand(3, len(solids)))
    origin = into(matrix[:, solid], points[:, point] - solids.centre.T[:, solid])
    enter, leave = interval(origin, ray[:, solid], solids.radius[solid])
    blocked = (enter <= leave) & (leave > 1e-3)
    depth = points.new_zeros(points.shape[1]).index_add(0, point[blocked], density[solid[blocked]])
    return torch.exp(-depth)


def closeness(points: Tensor, solids: Solids, up: Tensor) -> Tensor:
    """Share of sky light (P,) left at ground points (3, P) by things that stand or hover close above them."""
    point, solid = plane_pairs(points, solids, up, margin=1.2)
    sizes = solids.axes.norm(dim=1).T
    turn = (solids.axes / solids.axes.norm(dim=1, keepdim=True)).transpose(1, 2).reshape(-1, 9).T.contiguous()
    local = into(turn[:, solid], points[:, point] - solids.centre.T[:, solid]).abs()
    outside = (local - sizes[:, solid]).clamp_min(0)
    away = length(outside[[0, 2]])
    spread = 0.25 + 0.12 * sizes[1, solid].clamp_max(3.0)
    taken = 0.72 * torch.exp(-away / spread - 1.6 * outside[1])
    return torch.exp(points.new_zeros(points.shape[1]).index_add(0, point, torch.log1p(-taken)))
