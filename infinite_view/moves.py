"""Where the camera goes: presets as functions of time, and an autopilot that looks ahead.

A move is asked for one stretch of poses at a time and is shown the depth that the camera sees at its start,
so that presets and the autopilot have one interface. Cameras and depth are on the CPU here. Poses are
``cam_from_world`` (4, 4); the first camera of a flight stands at the origin, and its y axis is down for the
whole flight.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from render_refine.camera import Camera, pose_from

TRAVEL_FRAMES = 240


@dataclass(frozen=True)
class Scene:
    """What a move needs to know of the start frame, in scene units.

    Attributes:
        travel: how far a flight goes in `TRAVEL_FRAMES` frames.
        subject: depth of what an orbit turns around.
        clearance: height above ground that the camera keeps.
        heading_pitch: direction of level flight, radians above the optical axis (towards the horizon).
    """

    travel: float
    subject: float
    clearance: float
    heading_pitch: float

    @staticmethod
    def of(depth: Tensor, camera: Camera) -> Scene:
        """Measure a start frame: depth (H, W), inf in the sky."""
        finite = torch.isfinite(depth)
        lower = depth[camera.height // 2 :][finite[camera.height // 2 :]]
        every = depth[finite]
        lower = lower if len(lower) else every
        if not len(every):
            return Scene(1.0, 1.0, 0.1, 0.0)
        down = camera.unproject(depth)[..., 1]
        # Ground passes below the camera at the bottom of the picture: a share of that height is kept.
        below = down[-max(camera.height // 8, 1) :]
        below = below[torch.isfinite(below)]
        height = float(below.median()) if len(below) else 0.3 * float(lower.median())
        clearance = 0.4 * max(height, 0.05 * float(lower.median()))
        farthest = finite & (depth >= every.quantile(0.95))
        rows = (torch.arange(camera.height) + 0.5)[:, None].expand_as(depth)[farthest]
        horizon = float(rows.median())
        pitch = math.atan2(float(camera.K[1, 2]) - horizon, float(camera.K[1, 1]))
        limit = math.radians(12)
        return Scene(1.3 * float(lower.median()), float(every.median()), clearance, max(-limit, min(limit, pitch)))


class Move(Protocol):
    """A camera move."""

    def next_poses(self, start: int, count: int, camera: Camera, depth: Tensor) -> list[Tensor]:
        """Poses of frames start + 1 ... start + count; ``camera`` and ``depth`` (H, W) are those of frame start."""
        ...


class Preset:
    """A move known beforehand: pose as a function of progress in [0, 1]."""

    def __init__(self, pose: Callable[[float], Tensor], frames: int) -> None:
        self.pose = pose
        self.last = max(frames - 1, 1)

    def next_poses(self, start: int, count: int, camera: Camera, depth: Tensor) -> list[Tensor]:
        return [self.pose(frame / self.last) for frame in range(start + 1, start + count + 1)]


def static(scene: Scene, frames: int) -> Preset:
    """No motion at all."""
    return Preset(lambda t: pose_from(torch.zeros(3)), frames)


def out_and_back(scene: Scene, frames: int) -> Preset:
    """Forward by a fifth of the travel, slightly to the side, and back the same way.

    Frames k and frames - 1 - k share their pose exactly.
    """

    def pose(t: float) -> Tensor:
        away = round((1 - abs(2 * t - 1)) * (frames - 1)) / max(frames - 1, 1)  # the same float both ways
        reach = 0.2 * scene.travel * ease(away)
        position = torch.tensor([0.2 * reach, -math.sin(scene.heading_pitch) * reach, reach])
        return pose_from(position, yaw=0.06 * ease(away))

    return Preset(pose, frames)


def orbit(scene: Scene, frames: int) -> Preset:
    """An arc of 20 degrees to the right around the middle of the scene and back through to the left."""

    def pose(t: float) -> Tensor:
        angle = math.radians(10) * math.sin(2 * math.pi * t)
        radius = scene.subject
        return pose_from(torch.tensor([radius * math.sin(angle), 0.0, radius * (1 - math.cos(angle))]), yaw=-angle)

    return Preset(pose, frames)


def rise(scene: Scene, frames: int) -> Preset:
    """Straight up by a third of the travel while looking down to what was there."""

    def pose(t: float) -> Tensor:
        height = 0.3 * scene.travel * ease(t)
        return pose_from(torch.tensor([0.0, -height, 0.0]), pitch=-0.6 * math.atan2(height, scene.subject))

    return Preset(pose, frames)


class Flight:
    """Real travel at constant speed that keeps clear of the ground; the autopilot also turns.

    The autopilot's aims are those of Infinite Nature's (Liu et al. 2021, appendix): turn towards the side
    with more open sky, keep the horizon in the upper part of the picture, climb when something is near.
    World-up is fixed, so the camera cannot roll.
    """

    def __init__(self, scene: Scene, *, steer: bool) -> None:
        self.scene = scene
        self.steer = steer
        self.step = scene.travel / TRAVEL_FRAMES
        self.position = torch.zeros(3)
        self.yaw = self.turn = self.climb = 0.0

    def next_poses(self, start: int, count: int, camera: Camera, depth: Tensor) -> list[Tensor]:
        turn_wanted = self._open_side(depth) if self.steer else 0.0
        climb_wanted = self._climb_wanted(camera, depth, count)
        poses = []
        for _ in range(count):
            # Changes of direction are smoothed (0.05 a frame, as in the original demo).
            self.turn += 0.05 * (turn_wanted - self.turn)
            self.climb += 0.08 * (climb_wanted - self.climb)
            self.yaw += self.turn
            forward = torch.tensor([math.sin(self.yaw), 0.0, math.cos(self.yaw)])
            self.position = self.position + self.step * forward * math.cos(self.climb)
            self.position[1] -= self.step * math.sin(self.climb)
            poses.append(pose_from(self.position, yaw=self.yaw))
        return poses

    def _open_side(self, depth: Tensor) -> float:
        """Turn a frame, radians: towards the half of the picture that is farther away, at most 0.2 degrees."""
        disparity = 1 / depth
        half = depth.shape[1] // 2
        left, right = float(disparity[:, :half].mean()), float(disparity[:, half:].mean())
        return math.radians(0.2) * (left - right) / max(left + right, 1e-8)

    def _climb_wanted(self, camera: Camera, depth: Tensor, count: int) -> float:
        """Angle of climb that passes over everything in the corridor ahead, radians."""
        points = camera.unproject(depth) - self.position
        ahead = points @ torch.tensor([math.sin(self.yaw), 0.0, math.cos(self.yaw)])
        aside = points @ torch.tensor([math.cos(self.yaw), 0.0, -math.sin(self.yaw)])
        horizon = max(6 * count * self.step, 2 * self.scene.clearance)
        level = self.scene.heading_pitch
        corridor = torch.isfinite(depth) & (ahead > 0) & (ahead < horizon) & (aside.abs() < self.scene.clearance)
        if not corridor.any():
            return level
        # Rise (y is down) needed to stand ``clearance`` above each point by the time the camera is there.
        rise = self.scene.clearance - points[..., 1][corridor]
        needed = torch.atan2(rise, ahead[corridor].clamp_min(self.step * count)).quantile(0.98)
        return min(max(float(needed), min(level, 0.0)), math.radians(50))


def forward(scene: Scene, frames: int) -> Flight:
    """Straight ahead, over whatever comes."""
    return Flight(scene, steer=False)


def autopilot(scene: Scene, frames: int) -> Flight:
    """Ahead, turning towards open country."""
    return Flight(scene, steer=True)


def ease(t: float) -> float:
    """Smooth start and stop: 0 at 0, 1 at 1, flat at both ends."""
    return t * t * (3 - 2 * t)


MOVES: dict[str, Callable[[Scene, int], Move]] = {
    "static": static,
    "forward": forward,
    "out-and-back": out_and_back,
    "orbit": orbit,
    "rise": rise,
    "autopilot": autopilot,
}
