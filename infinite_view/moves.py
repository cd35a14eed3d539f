"""Where the camera goes: known paths, and pilots that look where they are going, behind one interface."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from infinite_view.autopilot import Autopilot
from infinite_view.scene import Scene
from render_refine.camera import Camera
from render_refine.keyframes import EASINGS, CameraPath, View


class Move(Protocol):
    """A camera move, asked for one stretch of frames at a time. All cameras and depth are on the CPU.

    Attributes:
        photo_pose: ``cam_from_world`` (4, 4) of the camera that took the photo.
    """

    photo_pose: Tensor

    def next_cameras(self, start: int, count: int, camera: Camera, depth: Tensor) -> list[Camera]:
        """Cameras of frames start ... start + count - 1.

        ``camera`` and ``depth`` (H, W) are those of the frame before; before frame 0, those of the photo.
        """
        ...


class Planned:
    """A move known beforehand: it depends neither on what is drawn nor on the size of the frames.

    Args:
        camera_at: the camera of a frame for pictures of a height and width; poses relative to the photo's camera.
    """

    def __init__(self, camera_at: Callable[[int, int, int], Camera]) -> None:
        self.camera_at = camera_at
        self.photo_pose = torch.eye(4)

    def next_cameras(self, start: int, count: int, camera: Camera, depth: Tensor) -> list[Camera]:
        return [self.camera_at(frame, camera.height, camera.width) for frame in range(start, start + count)]


def static(scene: Scene, t: float) -> View:
    return View.at((0.0, 0.0, 0.0), scene.fov)


def out_and_back(scene: Scene, t: float) -> View:
    # Rounded, so that the way back gives the same floats.
    eased = EASINGS["smooth"](round(1 - abs(2 * t - 1), 9))
    reach = 0.2 * scene.travel * eased
    return View.at((0.2 * reach, -math.sin(scene.heading_pitch) * reach, reach), scene.fov, yaw=0.06 * eased)


def orbit(scene: Scene, t: float) -> View:
    angle, radius = math.radians(10) * math.sin(2 * math.pi * t), scene.subject
    return View.at((radius * math.sin(angle), 0.0, radius * (1 - math.cos(angle))), scene.fov, yaw=-angle)


def rise(scene: Scene, t: float) -> View:
    height = 0.3 * scene.travel * EASINGS["smooth"](t)
    return View.at((0.0, -height, 0.0), scene.fov, pitch=-0.6 * math.atan2(height, scene.subject))


@dataclass(frozen=True)
class Preset:
    """A move around the start frame.

    Attributes:
        view: of a scene and of progress in [0, 1].
        summary: what it does, for people.
        closed: it ends as it began.
    """

    view: Callable[[Scene, float], View]
    summary: str
    closed: bool = True


PRESETS = {
    "out-and-back": Preset(out_and_back, "goes a little way in and returns: frame k equals the k-th from the end"),
    "orbit": Preset(orbit, "20 degrees around the middle of the view, and back"),
    "rise": Preset(rise, "goes up, looking down to what was there", closed=False),
    "static": Preset(static, "does not move"),
}
STEERED = {
    "autopilot": "flies in: keeps level and clear of things, slows down where they are near, turns to where it is open",
    "forward": "the same, straight on, over whatever comes",
}


def make_move(name: str, scene: Scene, frames: int, *, loop: bool = False, meander: float = 1.0) -> Move:
    """A move by its name.

    Args:
        name: of `PRESETS` or `STEERED`.
        scene: what it is scaled by.
        frames: how many it is flown in.
        loop: frame ``frames`` would equal frame 0; a move that goes one way comes back by the same poses.
        meander: size of the autopilot's S-curves.
    """
    if name in STEERED:
        return Autopilot(scene, frames, turns=name == "autopilot", meander=meander, loop=loop)
    preset = PRESETS[name]
    return along(CameraPath(lambda t: preset.view(scene, t), preset.closed), frames, loop=loop)


def along(path: CameraPath, frames: int, *, loop: bool = False) -> Planned:
    """The flight along a path in a number of frames."""
    return Planned(lambda frame, *size: path.view(path.progress(frame, frames, loop=loop)).camera(*size))
