"""Camera paths as functions of progress, how frames are spread over them, and paths through keyframes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import torch
from torch import Tensor

from render_refine.camera import Camera, pose_from

EASINGS: dict[str, Callable[[float], float]] = {
    "linear": lambda t: t,
    "smooth": lambda t: t * t * (3 - 2 * t),
    "in": lambda t: t * t,
    "out": lambda t: t * (2 - t),
}
SPLINE = "spline"  # the easing of a keyframe that is passed without stopping


@dataclass(frozen=True, eq=False)
class View:
    """Where a camera stands and what its lens sees.

    Attributes:
        cam_from_world: (4, 4) float64.
        fov: field of view along the longer side, radians in (0, pi).
    """

    cam_from_world: Tensor
    fov: float

    @staticmethod
    def at(position: Sequence[float], fov: float, yaw: float = 0.0, pitch: float = 0.0, roll: float = 0.0) -> View:
        """A view from ``position`` (x, y, z), turned as `render_refine.camera.pose_from` does, in radians."""
        return View(pose_from(torch.tensor(position, dtype=torch.float64), yaw, pitch, roll), fov)

    def camera(self, height: int, width: int) -> Camera:
        """The float32 camera of this view for pictures of a size."""
        return Camera.from_fov(height, width, self.fov, self.cam_from_world).to(torch.float32)


@dataclass(frozen=True)
class CameraPath:
    """A path, to be flown at any speed.

    Attributes:
        view: of progress in [0, 1].
        closed: it ends where it began, so that it can be flown round and round; otherwise a loop goes there and back.
    """

    view: Callable[[float], View]
    closed: bool = False

    def views(self, frames: int, easing: str = "linear", loop: bool = False) -> list[View]:
        """One view per frame, from the path's beginning to its end, or, with ``loop``, for endless repetition.

        Args:
            frames: how many; a single frame is the path's end, or a quarter of the way round a closed one.
            easing: a name of `EASINGS`, for the whole path; a loop has no beginning to ease, and takes "linear" only.
            loop: after the last view comes the first.
        """
        if loop and easing != "linear":
            raise ValueError(f"a loop has neither beginning nor end to ease, got easing {easing!r}")
        return [self.view(self.progress(frame, frames, easing, loop)) for frame in range(frames)]

    def progress(self, frame: int, frames: int, easing: str = "linear", loop: bool = False) -> float:
        """How far along the path a frame is, in [0, 1]; see `views`. A loop's frames go on from any number."""
        if loop:
            frame %= frames
            if self.closed:
                return frame / frames
            # There and back without a jerk at either end, through the very same views.
            return math.sin(math.pi * min(frame, frames - frame) / frames) ** 2
        if frames == 1:
            return 0.25 if self.closed else 1.0
        return EASINGS[easing](frame / (frames - 1))


@dataclass(frozen=True)
class Keyframe:
    """What a camera passes at a time.

    Attributes:
        time: in seconds.
        position: x right, y down, z forward, in scene units.
        yaw, pitch, roll: radians, as in `render_refine.camera.pose_from`; between keyframes they are interpolated as
            they are, so that from 0 to 4 pi the camera turns twice, and a level camera stays level.
        fov: field of view along the longer side, radians.
        easing: how the camera goes on to the next keyframe: a name of `EASINGS`, or ``SPLINE``.
    """

    time: float
    position: tuple[float, float, float]
    fov: float
    yaw: float = 0.0
    pitch: float = 0.0
    roll: float = 0.0
    easing: str = SPLINE

    def scaled(self, scale: float) -> Keyframe:
        """The same, its position multiplied."""
        x, y, z = self.position
        return replace(self, position=(scale * x, scale * y, scale * z))


def keyframe_path(keyframes: Sequence[Keyframe]) -> CameraPath:
    """The path through keyframes, whose progress is proportional to their time.

    Splines are monotone cubic (Fritsch and Butland 1984): between two keyframes no number leaves their range. They
    begin and end at rest, and run through the joint where the last keyframe equals the first. Lenses are
    interpolated by the logarithm of the focal length, so that a zoom looks steady.

    Raises:
        ValueError: no keyframes, times that do not increase, an unknown easing, an impossible field of view.
    """
    times = [key.time for key in keyframes]
    if not keyframes or any(later <= sooner for sooner, later in pairwise(times)):
        raise ValueError(f"expected one keyframe or more at increasing times, got the times {times}")
    for key in keyframes:
        if key.easing not in (*EASINGS, SPLINE):
            raise ValueError(f"expected an easing of {', '.join((*EASINGS, SPLINE))}, got {key.easing!r}")
        if not 0 < key.fov < math.pi:
            raise ValueError(f"field of view must lie between 0 and pi radians, got {key.fov}")
    rows = [(*key.position, key.yaw, key.pitch, key.roll, -math.log(math.tan(key.fov / 2))) for key in keyframes]
    closed = len(keyframes) > 2 and _same_view(rows[0], rows[-1])
    slopes = list(zip(*(_slopes(times, column, closed) for column in zip(*rows, strict=True)), strict=True))

    def view(progress: float) -> View:
        time = times[0] + progress * (times[-1] - times[0])
        index = max((i for i in range(len(times) - 1) if times[i] <= time), default=0)
        if len(times) == 1:
            return _view(rows[0])
        span = times[index + 1] - times[index]
        t = min(max((time - times[index]) / span, 0.0), 1.0)
        easing = keyframes[index].easing
        pairs = zip(rows[index], rows[index + 1], slopes[index], slopes[index + 1], strict=True)
        if easing == SPLINE:
            return _view([_hermite(t, a, b, span * m, span * n) for a, b, m, n in pairs])
        return _view([a + (b - a) * EASINGS[easing](t) for a, b, _, _ in pairs])

    return CameraPath(view, closed)


def _view(row: Sequence[float]) -> View:
    x, y, z, yaw, pitch, roll, log_focal = row
    return View.at((x, y, z), 2 * math.atan(math.exp(-log_focal)), yaw, pitch, roll)


def _same_view(one: Sequence[float], other: Sequence[float]) -> bool:
    """Whether two rows are one view; whole turns do not count."""
    turns = [abs(math.remainder(a - b, 2 * math.pi)) for a, b in zip(one[3:6], other[3:6], strict=True)]
    moves = [abs(a - b) for a, b in zip((*one[:3], one[6]), (*other[:3], other[6]), strict=True)]
    return max(*turns, *moves) < 1e-9


def _hermite(t: float, a: float, b: float, start: float, end: float) -> float:
    """The cubic from a to b with these slopes, at t in [0, 1]."""
    return a + t * (start + t * (3 * (b - a) - 2 * start - end + t * (2 * (a - b) + start + end)))


def _slopes(times: Sequence[float], values: Sequence[float], closed: bool) -> list[float]:
    """Slopes at the keyframes that keep the cubics monotone: weighted harmonic means of the two sides."""
    steps = [later - sooner for sooner, later in pairwise(times)]
    rates = [(b - a) / h for (a, b), h in zip(pairwise(values), steps, strict=True)]
    inner = [_between(*h, *d) for h, d in zip(pairwise(steps), pairwise(rates), strict=True)]
    end = _between(steps[-1], steps[0], rates[-1], rates[0]) if closed else 0.0
    return [end, *inner, end] if steps else [0.0]


def _between(before: float, after: float, one: float, other: float) -> float:
    """The slope where steps ``before`` and ``after`` with these rates meet; 0 where the direction changes."""
    if one * other <= 0:
        return 0.0
    w, v = 2 * after + before, after + 2 * before
    return (w + v) / (w / one + v / other)
