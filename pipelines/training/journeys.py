"""Journeys: short or long ways of the flight's own loop, towards frames that are known.

A journey is a memory that holds what a start frame showed, the keyframes that lie ahead, and the true frames of some of
them. The refiner completes one view after the other and what it draws is written into the memory, so that it
learns to go on from its own writing. A leap goes from the start to the end at once: it shows what can be known of a
place from afar, and costs a single view. There are three kinds of journeys:

* over worlds, from one of the true frames of a rendered flight to others;
* between the two frames of a pair;
* of single photos, out and back (InfiniteNature-Zero, Li et al. 2022): what a virtual camera sees of the photo
  is all that is remembered, and at the end of the way home stands the photo.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from infinite_view.flight import needed, to_draw_upon
from infinite_view.photo import Photo
from infinite_view.refiner import magnified
from infinite_view.virtual_views import random_away, seen_from
from pipelines.training.augment import chance, grade, haze, uniform
from pipelines.training.flight_set import TRUTHS, FlightSet
from pipelines.training.photo_set import PhotoSet
from pipelines.training.world_set import WorldSet
from render_refine.camera import Camera
from render_refine.depth_maps import near_depth
from render_refine.memory import View, WorldMemory
from render_refine.warp import warp_by_depth

LAST_STEPS = 2  # keyframes before each true frame through which gradients go


@dataclass(eq=False)
class Journey:
    """A flight in progress.

    Attributes:
        rgb, depth: (3, H, W), (H, W) of the frame whose style it has.
        photo: what is known at first.
        memory: what is known.
        cameras: of the keyframes ahead.
        truths: the true frames (3, H, W), (H, W) at some of them, by number; the last is always there.
        reached: how many keyframes are done.
        new: (H, W) bool, of the view last looked at, what is to be drawn.
        from_photo: (H, W) bool, what of that is enlarged from the photo.
    """

    rgb: Tensor
    depth: Tensor
    photo: Photo
    memory: WorldMemory
    cameras: list[Camera]
    truths: dict[int, tuple[Tensor, Tensor]]
    reached: int = 0

    def __post_init__(self) -> None:
        self.new = self.from_photo = torch.zeros_like(self.depth, dtype=torch.bool)

    @property
    def over(self) -> bool:
        """Whether no true frame lies ahead."""
        return self.reached == len(self.cameras)

    def look(self) -> View:
        """The view at the next keyframe, as the refiner of a flight is given it: without detail that was made up."""
        view = self.memory.render(self.cameras[self.reached])
        self.new = needed(view)
        view, self.from_photo = to_draw_upon(view, self.new, self.photo)
        return view

    def write(self, view: View, rgb: Tensor, depth: Tensor) -> None:
        """Remember what was drawn, and go on to the next keyframe."""
        self.memory.write(rgb.detach(), depth.detach(), view.camera, self.new)
        self.reached += 1

    def leap(self) -> Journey:
        """The same journey without stops on the way."""
        last = len(self.cameras) - 1
        return replace(self, cameras=self.cameras[last:], truths={0: self.truths[last]})


def drawn_before(view: View, copied: Tensor, earlier: View, rgb: Tensor) -> tuple[Tensor, Tensor]:
    """What of a view was drawn at the keyframe before: the way for gradients through the memory, which stores bytes.

    Args:
        view: of the memory; copied: (H, W) bool, what of it comes out of the memory, and not anew from the photo.
        earlier: the view one keyframe before; rgb: (3, H, W) the picture that it became, with gradients.

    Returns:
        rgb (3, H, W) with the values of ``view`` and the gradients of what was drawn, and (H, W) bool where.
    """
    free = (~earlier.known).float()[None] + magnified(earlier.density)[None]
    carried, valid = warp_by_depth(
        torch.cat([rgb, free])[None], view.depth[None], view.camera, earlier.camera, padding="zeros"
    )
    drawn = copied & (carried[0, 3] > 0.5) & valid[0, 0].bool()
    return view.rgb + drawn * (carried[0, :3] - carried[0, :3].detach()), drawn


def world_journey(flights: FlightSet, index: int, generator: torch.Generator) -> Journey:
    """Between two of the true frames of a flight, by those between them."""
    item = flights[index]
    count = len(item.rgb)
    start, *_, end = torch.randperm(count, generator=generator)[:2].sort().values.tolist()
    # Graded side by side, since all must look the same.
    frames = grade(torch.cat(list(item.rgb), dim=2), generator).chunk(count, dim=2)
    unit = near_depth(item.depth[start])
    cameras = [_in_units(camera, unit) for camera in item.cameras[TRUTHS[start] : TRUTHS[end] + 1]]
    depth = item.depth / unit
    memory = WorldMemory()
    memory.write(frames[start], depth[start], cameras[0])
    truths = {TRUTHS[k] - TRUTHS[start] - 1: (frames[k], depth[k]) for k in range(start + 1, end + 1)}
    photo = Photo(frames[start], depth[start], cameras[0])
    return Journey(photo.rgb, photo.depth, photo, memory, cameras[1:], truths)


def pair_journey(worlds: WorldSet, index: int, generator: torch.Generator) -> Journey:
    """From the source of a pair to its target."""
    pair = worlds[index]
    source_rgb, target_rgb = grade(torch.cat([pair.source.rgb, pair.target.rgb], dim=2), generator).chunk(2, dim=2)
    unit = near_depth(pair.source.depth)
    away, home = (_in_units(frame.camera, unit) for frame in (pair.source, pair.target))
    depth = pair.source.depth / unit
    memory = WorldMemory()
    memory.write(source_rgb, depth, away)
    cameras = _way(away, home, generator)
    truth = {len(cameras) - 1: (target_rgb, pair.target.depth / unit)}
    return Journey(source_rgb, depth, Photo(source_rgb, depth, away), memory, cameras, truth)


def photo_journey(photos: PhotoSet, index: int, height: int, width: int, generator: torch.Generator) -> Journey:
    """Home to a photo of a set, by whatever lens, in other colours, and through air that is often hazy."""
    rgb, depth = photos[index]
    if chance(generator, 0.5):
        rgb, depth = rgb.flip(-1), depth.flip(-1)
    rgb, depth = grade(rgb, generator), depth / near_depth(depth)
    camera = Camera.from_fov(depth.shape[0], depth.shape[1], math.radians(uniform(generator, 45, 75)))
    return way_home(rgb, depth, camera, height, width, generator, haze_share=0.5)


def way_home(
    rgb: Tensor,
    depth: Tensor,
    camera: Camera,
    height: int,
    width: int,
    generator: torch.Generator,
    *,
    haze_share: float = 0.0,
) -> Journey:
    """From what a virtual camera sees of a photo back to a crop of the photo.

    Args:
        rgb: (3, H, W); depth: (H, W), whose nearest tenth is at 1; camera: of the photo.
        height, width: of the crop.
        haze_share: how often there is more air before all than the photo shows.
    """
    # Nothing far outside the window matters, and rendering costs by the pixel.
    around = _window(depth, round(1.5 * height), round(1.5 * width), generator)
    rgb, depth, camera = _cut(rgb, around), _cut(depth, around), camera.crop(*around)
    away = random_away(camera, depth, generator)
    caught = seen_from(rgb, depth, torch.ones_like(depth, dtype=torch.bool), camera, away)
    seen = caught.rgb
    if chance(generator, haze_share):
        # One air before both, and more of it before what is farther away.
        pictures, depths = torch.cat([rgb, seen], dim=2), torch.cat([depth, caught.depth], dim=1)
        rgb, seen = haze(pictures, depths, generator).chunk(2, dim=2)
    memory = WorldMemory()
    memory.write(seen, caught.depth, away, caught.known)
    window = _window(depth, height, width, generator)
    home = camera.crop(*window)
    cameras = _way(home.at(away.cam_from_world), home, generator)
    truth = _cut(rgb, window), _cut(depth, window)
    photo = Photo(seen, torch.where(caught.known, caught.depth, 0.0), away)
    return Journey(*truth, photo, memory, cameras, {len(cameras) - 1: truth})


def _way(start: Camera, end: Camera, generator: torch.Generator) -> list[Camera]:
    """A few keyframes from a camera to another one near by, that one included."""
    count = int(torch.randint(LAST_STEPS, LAST_STEPS + 3, (), generator=generator))
    first, last = start.world_from_cam, end.world_from_cam
    cameras = []
    for k in range(1, count + 1):
        mixed = torch.lerp(first, last, k / count)
        # The nearest rotation to a mean of two (both turned by little).
        u, _, v = torch.linalg.svd(mixed[:3, :3])
        mixed[:3, :3] = u @ v
        cameras.append(end.at(torch.linalg.inv(mixed)))
    return [*cameras[:-1], end]


def _in_units(camera: Camera, unit: Tensor) -> Camera:
    pose = camera.cam_from_world.clone()
    pose[:3, 3] /= unit
    return camera.at(pose)


def _window(depth: Tensor, height: int, width: int, generator: torch.Generator) -> tuple[int, int, int, int]:
    """A random crop, as far as there is: top, left, height, width."""
    height, width = min(height, depth.shape[0]), min(width, depth.shape[1])
    top = int(torch.randint(depth.shape[0] - height + 1, (), generator=generator))
    left = int(torch.randint(depth.shape[1] - width + 1, (), generator=generator))
    return top, left, height, width


def _cut(image: Tensor, window: tuple[int, int, int, int]) -> Tensor:
    top, left, height, width = window
    return image[..., top : top + height, left : left + width]
