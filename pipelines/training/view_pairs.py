"""Training pairs for new views: what a photo shows, and what another camera sees of the same place."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from pipelines.media.images import read_image
from pipelines.training.augment import chance, grade, sensor, uniform
from pipelines.training.posed_set import PosedClip
from pipelines.training.view_set import ViewSet
from render_refine.camera import Camera, pose_from
from render_refine.depth_maps import near_depth

WRONG_UNIT = 0.25  # by how much the unit of a pair may be off, as a logarithm
PHOTO_SIDE = 400  # pixels of a photo's shorter side


@dataclass(frozen=True, eq=False)
class ViewPair:
    """One photo and one other view of the same moment.

    Attributes:
        source, target: (3, H, W) in [0, 1].
        depth: (H, W) of the source, inf for sky, where its nearest tenth is 1; nan where it is not known.
        camera, other: of source and target; translations in the unit of ``depth`` where that is known.
        inside: (H, W) bool, pixels of the target that there is a picture of.
        clip: number of the clip that a pair without known scale comes from, else -1.
    """

    source: Tensor
    target: Tensor
    depth: Tensor
    camera: Camera
    other: Camera
    inside: Tensor
    clip: int = -1


class PairSource(Protocol):
    """Where a recipe gets its pairs."""

    def draw(self, height: int, width: int, generator: torch.Generator) -> ViewPair:
        """One pair of that size."""


class RenderedPairs:
    """Pairs of a set of rendered places, cropped, mirrored and made photographic."""

    def __init__(self, views: ViewSet) -> None:
        self.views = views

    def draw(self, height: int, width: int, generator: torch.Generator) -> ViewPair:
        views = self.views[int(torch.randint(len(self.views), (), generator=generator))]
        a, b = torch.randperm(len(views.cameras), generator=generator)[:2].tolist()
        pair = (views.rgb[a], views.rgb[b], views.depth[a], views.cameras[a], views.cameras[b])
        source, target, depth, camera, other = framed(*pair, height, width, generator)
        unit = near_depth(depth)
        # Depth of real photos is never quite right: the refiner has to cope with surfaces that are a little misplaced.
        wrong = math.exp(uniform(generator, -WRONG_UNIT, WRONG_UNIT)) if chance(generator, 0.5) else 1.0
        camera, other = (c.at(in_unit(c.cam_from_world, unit * wrong)) for c in (camera, other))
        # Both must look the same; side by side they are graded alike.
        source, target = grade(torch.cat([source, target], dim=-1), generator).split(width, dim=-1)
        if chance(generator, 0.5):
            source = sensor(source, generator)
        return ViewPair(source, target, depth / unit, camera, other, torch.ones_like(depth, dtype=torch.bool))


class PosedPairs:
    """Pairs of clips with known cameras, frames a few frames apart, in either order.

    Args:
        clips: each is as likely as any other.
        gaps: how many frames apart; in a shorter clip, as far as it goes.
    """

    def __init__(self, clips: Sequence[PosedClip], gaps: Sequence[int] = range(1, 11)) -> None:
        if not clips or min(map(len, clips)) < 2:
            raise ValueError("expected at least one clip, and at least two frames in each")
        self.clips, self.gaps = clips, gaps

    def draw(self, height: int, width: int, generator: torch.Generator) -> ViewPair:
        def below(count: int) -> int:
            return int(torch.randint(count, (), generator=generator))

        number = below(len(self.clips))
        clip = self.clips[number]
        gap = min(self.gaps[below(len(self.gaps))], len(clip) - 1)
        first = below(len(clip) - gap)
        a, b = (first, first + gap) if below(2) else (first + gap, first)
        unknown = torch.full(clip.rgb.shape[-2:], torch.nan)
        pair = (clip.frame(a), clip.frame(b), unknown, clip.cameras[a], clip.cameras[b])
        pair = framed(*pair, height, width, generator)
        return ViewPair(*pair, torch.ones(height, width, dtype=torch.bool), number)


class TurnedPhotos:
    """Photographs seen by two cameras in one place, turned and zoomed against each other: real detail, no parallax."""

    def __init__(self, photos: list[Path]) -> None:
        self.photos = [_shrunk(read_image(photo)) for photo in photos]

    def draw(self, height: int, width: int, generator: torch.Generator) -> ViewPair:
        photo = self.photos[int(torch.randint(len(self.photos), (), generator=generator))].float() / 255
        if chance(generator, 0.5):
            photo = photo.flip(-1)
        whole = Camera.from_fov(photo.shape[1], photo.shape[2], math.radians(uniform(generator, 50, 85)))
        # The window that the source camera sees fits into the photo; the target may look over its edge.
        zoom = min(photo.shape[1] / height, photo.shape[2] / width) * uniform(generator, 0.5, 0.85)
        h, w = zoom * height, zoom * width
        top, left = (uniform(generator, 0, side - part) for side, part in zip(photo.shape[1:], (h, w), strict=True))
        K = whole.K.clone()
        K[0, 2], K[1, 2] = K[0, 2] - left, K[1, 2] - top
        K[:2] /= zoom
        camera = Camera(height, width, K, torch.eye(4))
        turn = (math.radians(d) * uniform(generator, -1, 1) for d in (8, 5, 3))
        other = camera.at(pose_from(torch.zeros(3), *turn))
        closer = other.K.clone()
        closer[0, 0], closer[1, 1] = (closer[k, k] * uniform(generator, 0.95, 1.15) for k in (0, 1))
        other = Camera(height, width, closer, other.cam_from_world)
        source, _ = _photograph(photo, whole, camera)
        target, inside = _photograph(photo, whole, other)
        unknown = torch.full((height, width), torch.nan)
        return ViewPair(source, target, unknown, camera, other, inside)


def framed(
    source: Tensor,
    target: Tensor,
    depth: Tensor,
    camera: Camera,
    other: Camera,
    height: int,
    width: int,
    generator: torch.Generator,
) -> tuple[Tensor, Tensor, Tensor, Camera, Camera]:
    """A random part of both frames of a pair, resized to height x width, or its mirror image."""
    share = uniform(generator, 0.6, 1.0) * min(depth.shape[0] / height, depth.shape[1] / width)
    h, w = round(share * height), round(share * width)
    top, left = (
        int(torch.randint(side - part + 1, (), generator=generator))
        for side, part in zip(depth.shape, (h, w), strict=True)
    )
    camera, other = (c.crop(top, left, h, w).resize(height, width) for c in (camera, other))
    rgb = torch.stack([source, target])[..., top : top + h, left : left + w]
    rgb = F.interpolate(rgb, (height, width), mode="bilinear", antialias=True, align_corners=False)
    depth = depth[None, None, top : top + h, left : left + w]
    depth = F.interpolate(depth, (height, width), mode="nearest-exact")[0, 0]
    if chance(generator, 0.5):
        rgb, depth, camera, other = rgb.flip(-1), depth.flip(-1), mirrored(camera), mirrored(other)
    return rgb[0], rgb[1], depth, camera, other


def mirrored(camera: Camera) -> Camera:
    """The camera that takes the mirror image (left and right swapped) of a world mirrored at x = 0."""
    flip = torch.diag(camera.K.new_tensor([-1.0, 1.0, 1.0, 1.0]))
    K = camera.K.clone()
    K[..., 0, 2] = camera.width - K[..., 0, 2]
    return Camera(camera.height, camera.width, K, flip @ camera.cam_from_world @ flip)


def in_unit(cam_from_world: Tensor, unit: Tensor) -> Tensor:
    """A pose (4, 4) whose translation is counted in ``unit``."""
    pose = cam_from_world.clone()
    pose[:3, 3] /= unit
    return pose


def _shrunk(photo: Tensor) -> Tensor:
    scale = min(1.0, PHOTO_SIDE / min(photo.shape[-2:]))
    size = [round(side * scale) for side in photo.shape[-2:]]
    small = F.interpolate(photo[None], size, mode="bilinear", antialias=True, align_corners=False)[0]
    return (small.clamp(0, 1) * 255).round().to(torch.uint8)


def _photograph(photo: Tensor, whole: Camera, camera: Camera) -> tuple[Tensor, Tensor]:
    """What ``camera`` sees of a photo (3, H, W) at infinity taken by ``whole`` in the same place, and where."""
    uv, _ = whole.project(camera.rays().reshape(-1, 3) + whole.centre)
    uv = uv.reshape(camera.height, camera.width, 2)
    grid = 2 * uv / uv.new_tensor([whole.width, whole.height]) - 1
    inside = (grid.abs() < 1).all(dim=-1)
    seen = F.grid_sample(photo[None], grid[None], mode="bicubic", padding_mode="border", align_corners=False)
    return seen[0].clamp(0, 1), inside
