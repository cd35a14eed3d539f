"""Training pairs from one RGB-D image, without poses or video.

InfiniteNature-Zero (Li et al. 2022, section 3.1) flies a virtual camera out of a photo and back: at home the
photo itself is the target. Here the way out is one step to a virtual view, where the photo is seen as
from farther away or from the side; from what that view caught, the way home shows the photo with the holes
and the magnification that a flight forward meets, and the photo says what should be there.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from render_refine.camera import Camera, pose_from
from render_refine.memory import View, WorldMemory


def out_and_back(rgb: Tensor, depth: Tensor, camera: Camera, away: Camera, home: Camera) -> View:
    """The photo, seen from ``away``, remembered from there, and seen again at home.

    Args:
        rgb: (3, H, W); depth: (H, W), inf in the sky; camera: of that image.
        away: the virtual camera.
        home: ``camera``, or a crop of it.
    """
    caught = seen_from(rgb, depth, torch.ones_like(depth, dtype=torch.bool), camera, away)
    return seen_from(caught.rgb, caught.depth, caught.known, away, home)


def seen_from(rgb: Tensor, depth: Tensor, known: Tensor, camera: Camera, target: Camera) -> View:
    """One RGB-D frame (3, H, W), (H, W), stored where ``known`` and seen from another camera."""
    memory = WorldMemory(rgb.device)
    memory.write(rgb, depth, camera, known)
    return memory.render(target)


def random_away(camera: Camera, depth: Tensor, generator: torch.Generator) -> Camera:
    """A virtual camera behind, beside or above ``camera``, as far as a few steps of a flight would bring it.

    It mostly lies behind: from there the way home is a flight forward. Distances are shares of the depth
    of the nearest tenth of the picture.
    """

    def uniform(low: float, high: float) -> float:
        return low + (high - low) * float(torch.rand((), generator=generator))

    finite = depth[torch.isfinite(depth)]
    near = float(finite.quantile(0.1)) if len(finite) else 1.0
    back = near * uniform(0.1, 1.0)
    position = torch.tensor([near * uniform(-0.3, 0.3), near * uniform(-0.25, 0.1), -back])
    yaw, pitch, roll = (uniform(-1, 1) * math.radians(d) for d in (8, 4, 1))
    home_from_away = pose_from(position, yaw, pitch, roll)
    return camera.at(home_from_away @ camera.cam_from_world)
