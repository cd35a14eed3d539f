"""Training data for finding what lights up at night: places by day, and the light that each part of them would give.

Item k is drawn from seed + k alone. Three in four are streets; the rest are landscapes, in which nothing lights up.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional as F

from pipelines.media.images import read_image
from pipelines.perception.segmentation import Segmenter
from pipelines.training.detector import Place
from pipelines.training.rendering import RenderedSet
from pipelines.training.world_set import TRAINING_SEED
from pipelines.worlds import Street, World
from pipelines.worlds.sky import Sky
from pipelines.worlds.street_builder import CAR, FACADE, GLOW, TRAFFIC
from render_refine.camera import Camera, pose_from
from render_refine.working_size import reduced
from vid2vid.classes import class_ids
from vid2vid.lights import KINDS

FULL_SHARE = 0.6  # linear light of a pixel that is all lamp or pane
BUILT, MOST_BUILT = ("building", "fence", "pole", "sign", "car", "person", "bicycle"), 0.1
MOST_NIGHT = 0.4  # by which lamps may be on in the picture itself


def render_place(seed: int, index: int, height: int, width: int) -> Place:
    """Item ``index`` of the set ``seed``."""
    generator = torch.Generator().manual_seed(seed + index)
    if index % 4 == 3:
        world = World.random(generator)
        frame = world.render(world.random_camera(generator, height, width))
        return Place(frame.rgb, frame.labels, torch.zeros(len(KINDS), height, width))
    street = Street.random(generator)
    if street.mood.night > MOST_NIGHT:
        noon = street.sky.light.at(hour=9 + 6 * torch.rand((), generator=generator).item())
        street = replace(street, sky=Sky.of(noon, street.sky.noise))
    camera = view(street, generator, height, width)
    frame = street.render(camera, antialias=True)
    return Place(frame.rgb, frame.labels, light_shares(street, camera))


def view(street: Street, generator: torch.Generator, height: int, width: int) -> Camera:
    """What people photograph: along the street, or in half of all cases up at the houses, or from high above."""
    camera = street.random_camera(generator, height, width)
    kind, side, tilt, lens, rise = torch.rand(5, generator=generator).tolist()
    if kind < 0.5:
        return camera
    ahead = camera.world_from_cam[:3, 2].tolist()
    yaw = math.atan2(ahead[0], ahead[2]) + math.copysign(0.1 + 0.7 * abs(2 * side - 1), side - 0.5)
    eye = camera.centre
    if kind < 0.8:
        pose = pose_from(eye, yaw, 0.35 * tilt, 0.0)
        return Camera.from_fov(height, width, math.radians(25 + 45 * lens), pose)
    above = eye - eye.new_tensor([0.0, 4 + 40 * rise, 0.0])
    return Camera.from_fov(height, width, math.radians(30 + 40 * lens), pose_from(above, yaw, -0.1 - 0.5 * tilt, 0.0))


def light_shares(street: Street, camera: Camera) -> Tensor:
    """The share of every pixel (K, H, W) that gives light, by ``KINDS``."""
    fine = camera.resize(2 * camera.height, 2 * camera.width)
    light, material = street.own_light(fine)
    without, _ = street.own_light(fine, awake=0.0)
    share = {name: (glow.amax(0) / FULL_SHARE).clamp(0, 1) for name, glow in (("all", light), ("shop", without))}
    red = light[0] > 2.5 * light[1]
    house, car = material == FACADE, material == CAR
    by_kind = {
        "window": (share["all"] - share["shop"]).clamp_min(0) * house,
        "shop": share["shop"] * house,
        "lamp": share["all"] * (material == GLOW),
        "headlight": share["all"] * (car & ~red),
        "tail light": share["all"] * (car & red),
        "signal": (light.amax(0) > FULL_SHARE) * (material == TRAFFIC),
    }
    return F.avg_pool2d(torch.stack([by_kind[name].float() for name in KINDS])[None], 2)[0]


class LitPlaces(RenderedSet):
    """A folder of rendered items."""

    def __init__(
        self, folder: Path, count: int, *, height: int = 320, width: int = 512, seed: int = TRAINING_SEED
    ) -> None:
        super().__init__(folder, count, f"lit_{seed}_{height}x{width}", "rendering lit places", "place")
        self.height, self.width, self.seed = height, width, seed

    def render(self, index: int) -> dict[str, Tensor]:
        """Item ``index`` as it is kept."""
        place = render_place(self.seed, index, self.height, self.width)
        tensors = {
            "rgb": (place.rgb * 255).round().to(torch.uint8),
            "labels": place.labels.to(torch.uint8),
            "shares": (place.shares * 255).round().to(torch.uint8),
        }
        return tensors

    def __getitem__(self, index: int) -> Place:
        """Item ``index``."""
        tensors = load_file(self.path(index))
        return Place(tensors["rgb"].float() / 255, tensors["labels"].long(), tensors["shares"].float() / 255)


def natural_places(photos: Sequence[Path], segmenter: Segmenter, side: int = 320) -> list[Place]:
    """Photographs of which hardly a part was built by people, so that nothing in them lights up."""
    built = torch.tensor(class_ids(BUILT))
    places = []
    for photo in photos:
        rgb = reduced(read_image(photo)[None], side)[0]
        labels = segmenter.segment(rgb)
        if float(torch.isin(labels, built).float().mean()) < MOST_BUILT:
            places.append(Place(rgb, labels, torch.zeros(len(KINDS), *labels.shape)))
    return places
