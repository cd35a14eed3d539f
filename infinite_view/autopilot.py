"""A pilot that sees depth: it keeps level, keeps clear, and takes its time where things are near.

The aims are those of Infinite Nature's autocruise (Liu et al. 2021, appendix): turn to where it is open, keep the
horizon in its place, climb when something is near. World-up is fixed, so that the camera cannot roll; and what it
must not touch is looked for ahead, in the corridor of points that the flight will pass, not in the picture.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from infinite_view.scene import Scene
from render_refine.camera import Camera, pose_from

TRAVEL_FRAMES = 240
LOOK_AHEAD = 64  # frames of flight at the usual speed
SIGHT = (60, 104)  # rows and columns of depth that the pilot looks at, whatever the size of the frames
HEADINGS = [math.radians(angle) for angle in (0, -6, 6, -12, 12, -18, 18, -24, 24)]  # offered by each look ahead
MEANDER = math.radians(6)  # half the swing of an S-curve
MEANDER_FRAMES = 240
STEEPEST = math.radians(45)
SHARPEST = math.radians(0.6)  # turn in a frame
NOD = math.radians(0.1)  # change of pitch in a frame, at most
SLOWEST, FASTEST = 0.35, 1.6  # times the usual speed, by how far all is
EMPTY = 0.65  # share of sky, or a little more than at the start, from which the pilot turns to where something is
CROWDED = 0.15  # share of the picture around the near bound from which to get away first of all


@dataclass(frozen=True)
class Course:
    """What the pilot wants, after a look.

    Attributes:
        turn: radians a frame.
        climb: angle of its way, radians.
        speed: times the usual one.
        free: how much of that may go ahead, and not up.
        pitch: of the camera, radians.
        urgent: it is in the midst of things.
    """

    turn: float
    climb: float
    speed: float
    free: float
    pitch: float
    urgent: bool


@dataclass(frozen=True)
class Start:
    """What the first look saw: the mean of 1 / depth, the share of sky, and the side that is more open (1 or -1)."""

    nearness: float
    sky: float
    side: float


class Autopilot:
    """Travel that keeps clear of everything it sees.

    Poses are of a world whose y axis points straight down and in which the start frame has ``photo_pose``.

    Args:
        scene: the start frame.
        frames: length of a loop.
        turns: it may turn; otherwise it flies straight on, over whatever comes.
        meander: size of its S-curves, 1 being gentle; 0 for none.
        loop: in the first half of the frames it goes out, and in the second it comes back by the very same poses.
    """

    def __init__(
        self, scene: Scene, frames: int, *, turns: bool = True, meander: float = 1.0, loop: bool = False
    ) -> None:
        self.scene = scene
        self.frames = frames
        self.turns = turns
        self.meander = meander if turns else 0.0
        self.loop = loop
        self.photo_pose = scene.level_pose
        self.step = scene.travel / TRAVEL_FRAMES
        self.position = torch.zeros(3)
        self.pitch = -scene.heading_pitch
        self.yaw = self.turn = self.climb = 0.0
        self.speed = self.free = 1.0
        self.detour = 0.0  # the side to which it turns away, while no heading is open
        self.start: Start | None = None
        self.flown = [self.photo_pose]

    def next_cameras(self, start: int, count: int, camera: Camera, depth: Tensor) -> list[Camera]:
        """See `infinite_view.moves.Move`."""
        poses, course = [], None
        for frame in range(start, start + count):
            at = min(frame % self.frames, -frame % self.frames) if self.loop else frame
            if at < len(self.flown):
                poses.append(self.flown[at])
                continue
            course = course or self.look(camera, depth, count)
            self.advance(course, frame)
            poses.append(pose_from(self.position, self.yaw, self.pitch))
            if self.loop:
                self.flown.append(poses[-1])
        return [camera.at(pose) for pose in poses]

    def advance(self, course: Course, frame: int) -> None:
        """One frame further, with all changes smoothed."""
        # A loop starts, turns and ends at rest.
        pace = math.sin(2 * math.pi * (frame - 0.5) / self.frames) if self.loop else 1.0
        haste = 2.5 if course.urgent else 1.0
        assert self.start is not None
        swing = self.meander * self.start.side * MEANDER * 2 * math.pi / MEANDER_FRAMES
        swing *= math.cos(2 * math.pi * frame / MEANDER_FRAMES)
        self.turn += 0.05 * (course.turn + swing - self.turn)
        self.climb += 0.08 * haste * (course.climb - self.climb)
        self.speed += 0.05 * haste * (course.speed - self.speed)
        self.free += 0.1 * haste * (course.free - self.free)
        self.pitch += pace * within(0.02 * (course.pitch - self.pitch), NOD)
        self.yaw += pace * self.turn
        ahead = pace * self.step * min(self.speed * math.cos(self.climb), self.free)
        rise = pace * self.step * self.speed * math.sin(self.climb)
        self.position = self.position + torch.tensor([ahead * math.sin(self.yaw), -rise, ahead * math.cos(self.yaw)])

    def look(self, camera: Camera, depth: Tensor, count: int) -> Course:
        """Decide on the next ``count`` frames by the depth (H, W) that ``camera`` sees."""
        rows, columns = (
            torch.linspace(0, side - 1, min(side, most)).round().long()
            for side, most in zip(depth.shape, SIGHT, strict=True)
        )
        seen = depth[rows][:, columns]
        solid = torch.isfinite(seen)
        points = camera.unproject(depth)[rows][:, columns] - camera.centre
        points[:2, :, 1] = -torch.inf  # nobody knows how high it goes on above the picture
        points = points[solid]
        nearness = max(float((1 / seen).mean()), 1e-8)
        sky = 1 - float(solid.float().mean())
        left, right = ((1 / half).mean().item() for half in seen.tensor_split(2, dim=1))
        open_side = (left - right) / max(left + right, 1e-8)
        if self.start is None:
            self.start = Start(nearness, sky, 1.0 if open_side >= 0 else -1.0)

        heading, needed = self.heading(points, count) if self.turns else (0.0, self.climb_over(points, 0.0, count))
        turn = within(heading / 40, SHARPEST)
        if self.turns:
            # With no heading open it turns on to one side until there is one.
            blocked = needed > STEEPEST
            self.detour = (self.detour or math.copysign(1.0, open_side)) if blocked else 0.0
            empty = sky > max(EMPTY, self.start.sky + 0.1)
            leaning = math.radians(-0.3 if empty else 0.1) * open_side
            turn = self.detour * SHARPEST if blocked else turn + leaning
        climb = min(max(needed, self.cruise(points, heading)), STEEPEST)
        speed = min(max((self.start.nearness / nearness) ** 0.7, SLOWEST), FASTEST)
        free = self.free_speed(points, heading, climb)
        crowded = float((seen < 1.5 * self.scene.near).float().mean()) > CROWDED
        if crowded and needed > 0:
            climb = STEEPEST
        return Course(turn, climb, speed, free, self.level(camera, sky), crowded)

    def corridor(self, points: Tensor, heading: float, reach: float, half_width: float) -> tuple[Tensor, Tensor]:
        """Distance ahead and height (N,) of the points (M, 3) around the camera that a flight would pass."""
        sin, cos = math.sin(self.yaw + heading), math.cos(self.yaw + heading)
        ahead = points[:, 0] * sin + points[:, 2] * cos
        aside = points[:, 0] * cos - points[:, 2] * sin
        inside = (ahead > 0) & (ahead < reach) & (aside.abs() < half_width)
        return ahead[inside], -points[:, 1][inside]

    def reach(self, count: int) -> float:
        """How far ahead obstacles count."""
        return max(max(LOOK_AHEAD, 4 * count) * self.step, 4 * self.scene.clearance)

    def climb_over(self, points: Tensor, heading: float, count: int) -> float:
        """Angle of climb that passes over everything ahead at the clearance, radians; -pi / 2 where nothing is."""
        ahead, up = self.corridor(points, heading, self.reach(count), 1.5 * self.scene.clearance)
        if not len(ahead):
            return -math.pi / 2
        # One must be up there by the time that the point is there, or within the next look.
        return float(torch.atan2(up + self.scene.clearance, ahead.clamp_min(self.step * count)).quantile(0.98))

    def heading(self, points: Tensor, count: int) -> tuple[float, float]:
        """The best of `HEADINGS`, and its climb: a detour is worth about three times its angle in climb."""
        climbs = {heading: self.climb_over(points, heading, count) for heading in HEADINGS}
        best = min(HEADINGS, key=lambda heading: max(climbs[heading] - 0.05, 0.0) + 0.35 * abs(heading))
        return best, climbs[best]

    def cruise(self, points: Tensor, heading: float) -> float:
        """Angle of climb that leads gently back to the height of the start above the ground ahead."""
        height = self.scene.height
        _, up = self.corridor(points, heading, 8 * height, 2 * height)
        if not len(up):
            return math.radians(-1.5)
        wanted = math.atan2(height + float(up.median()), 6 * height)
        return min(max(wanted, math.radians(-4)), math.radians(8))

    def free_speed(self, points: Tensor, heading: float, climb: float) -> float:
        """Speed ahead that leaves time before the nearest thing that this climb does not pass over."""
        clearance = self.scene.clearance
        ahead, up = self.corridor(points, heading, 2 * self.reach(0), clearance)
        blocked = torch.atan2(up + 0.5 * clearance, ahead) > climb + 0.02
        if not blocked.any():
            return FASTEST
        free = float(ahead[blocked].quantile(0.05)) - 1.25 * self.scene.near
        return min(max(free / (32 * self.step), 0.0), FASTEST)

    def level(self, camera: Camera, sky: float) -> float:
        """Pitch that keeps the horizon in the upper middle of the picture, and the share of sky as it was."""
        assert self.start is not None
        focal = float(camera.K[1, 1]) / camera.height
        row = 0.5 - focal * math.tan(self.scene.heading_pitch)
        pitch = math.atan((min(max(row, 0.28), 0.5) - 0.5) / focal)
        excess = sky - min(max(self.start.sky, 0.12), 0.5)
        return pitch - within(0.5 * excess / focal, math.radians(5))


def within(value: float, limit: float) -> float:
    """``value`` cut to -limit ... limit."""
    return min(max(value, -limit), limit)
