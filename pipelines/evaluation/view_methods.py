"""One photo seen by another camera, by the model and by what it must be better than."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import torch
from torch import Tensor

from pipelines.evaluation.takes import levels
from pipelines.media.images import to_pixels, to_tensor
from pipelines.views import Taken, ViewsPipeline
from render_refine.camera import Camera
from render_refine.metrics import psnr
from render_refine.splat import Splat, soft_splat
from synsin.model import FARTHEST

METHODS = COPY, WARP, INPAINT, VIEWS = ("copy", "warp", "warp + inpaint", "views")
INPAINTERS = {"Telea": cv2.INPAINT_TELEA, "Navier-Stokes": cv2.INPAINT_NS}
INPAINT_RADIUS = 3.0  # pixels
# Between two frames of a clip a camera goes this far, in nearest tenths. Farther, all of the photo may be out of sight,
# and then a search for the unit of length would compare what was inpainted from nothing.
SHORTEST, LONGEST = 1 / 32, 2.0
STEPS, REFINEMENTS = 25, 10


@dataclass(frozen=True, eq=False)
class Pair:
    """A photo, and what another camera saw of the same place.

    Attributes:
        source, target: (3, H, W) in [0, 1].
        camera, other: of source and target; their distance is in the unit of ``depth``.
        depth: (H, W) z of the source as predicted, its nearest tenth at 1, inf for sky.
        truth: (H, W) true z of the source in the same unit; None where nobody knows.
    """

    source: Tensor
    target: Tensor
    camera: Camera
    other: Camera
    depth: Tensor
    truth: Tensor | None = None

    def visible(self) -> Tensor:
        """(1, H, W) bool: where some pixel of the source lands, by true depth where there is any, else predicted."""
        depth = self.depth if self.truth is None else self.truth
        return splat(self.source, depth, self.camera, self.other).coverage > 0


def seen_from(camera: Camera, other: Camera, unit: float) -> tuple[Camera, Camera]:
    """Two cameras in the axes of the first, the distance between them divided by ``unit``."""
    move = other.cam_from_world @ camera.world_from_cam
    move[:3, 3] /= unit
    return camera.at(torch.eye(4)), other.at(move)


def splat(rgb: Tensor, depth: Tensor, camera: Camera, other: Camera) -> Splat:
    """The photo's pixels (3, H, W) as points at ``depth`` (H, W), seen by ``other``; sky is very far."""
    points = camera.unproject(depth.clamp_max(FARTHEST)).reshape(1, -1, 3)
    uv, z = other.project(points)
    return soft_splat(uv, z, rgb.flatten(1).T[None], other.height, other.width)


def inpainted(rgb: Tensor, known: Tensor, way: int) -> Tensor:
    """OpenCV's inpainting of a picture (3, H, W) where it is not ``known`` (1, H, W)."""
    holes = (~known[0]).to(torch.uint8).numpy()
    return to_tensor(cv2.inpaint(to_pixels(rgb), holes, INPAINT_RADIUS, way))


def new_view(pipeline: ViewsPipeline, pair: Pair, camera: Camera) -> Tensor:
    """The source seen by ``camera`` as ``viewsynth views`` shows it, (3, H, W)."""
    return next(pipeline.stream(Taken(pair.source, pair.depth, pair.camera), [camera]))


def pictures(pipeline: ViewsPipeline, pair: Pair) -> dict[str, Tensor]:
    """What each method shows for a pair, (3, H, W) uint8.

    Of OpenCV's two ways of inpainting the one nearer to the truth is taken, pair by pair: the best that a user who
    tried both could have.
    """
    seen = splat(pair.source, pair.depth, pair.camera, pair.other)
    warp, known = seen.features[0], seen.coverage > 0
    filled = [inpainted(warp, known, way) for way in INPAINTERS.values()]
    shown = {
        COPY: pair.source,
        WARP: warp,
        INPAINT: max(filled, key=lambda rgb: float(psnr(rgb, pair.target))),
        VIEWS: new_view(pipeline, pair, pair.other),
    }
    return {name: levels(rgb) for name, rgb in shown.items()}


def fitted_unit(source: Tensor, target: Tensor, depth: Tensor, camera: Camera, other: Camera) -> float:
    """The unit of length of two cameras' file, so that distance / unit is in the unit of ``depth``.

    The one of which the mean |warp + inpaint (Navier-Stokes) - target| is least: a geometric grid, then golden section.

    Args:
        source, target: (3, H, W) in [0, 1].
        depth: (H, W) of the source.
        camera, other: as the file gives them.
    """

    def error(log_unit: float) -> float:
        near, far = seen_from(camera, other, math.exp(log_unit))
        seen = splat(source, depth, near, far)
        guess = inpainted(seen.features[0], seen.coverage > 0, cv2.INPAINT_NS)
        return float((guess - target).abs().mean())

    # Two cameras in one place tell nothing; any unit will do.
    distance = float((camera.centre - other.centre).norm()) or 1.0
    low, high = math.log(distance / LONGEST), math.log(distance / SHORTEST)
    grid = [low + (high - low) * k / (STEPS - 1) for k in range(STEPS)]
    best = min(grid, key=error)
    step = grid[1] - grid[0]
    return math.exp(golden_section(error, best - step, best + step, REFINEMENTS))


def golden_section(error: Callable[[float], float], low: float, high: float, steps: int) -> float:
    """Where a function with one minimum between ``low`` and ``high`` has it, each step narrowing by 0.618."""
    share = (math.sqrt(5) - 1) / 2
    left, right = high - share * (high - low), low + share * (high - low)
    at_left, at_right = error(left), error(right)
    for _ in range(steps):
        if at_left < at_right:
            high, right, at_right = right, left, at_left
            left = high - share * (high - low)
            at_left = error(left)
        else:
            low, left, at_left = left, right, at_right
            right = low + share * (high - low)
            at_right = error(right)
    return left if at_left < at_right else right
