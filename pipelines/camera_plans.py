"""Cameras from files, for every command with ``--camera FILE``: keyframes, waypoints, and tracks of cameras."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from pipelines.cli import suggestion
from pipelines.errors import InputError
from pipelines.media.camera_files import read_cameras
from pipelines.media.framing import FIELD_OF_VIEW
from pipelines.media.keyframe_files import is_keyframes, read_path
from pipelines.media.video import claim
from render_refine.camera import Camera

DEFAULT_FPS = Fraction(24)
LARGEST_SCALE = 1e6
MOST_FRAMES = 1_000_000


@dataclass(frozen=True)
class Wish:
    """What was asked for; None is what was left out.

    Attributes:
        camera: name of a preset, or a file.
        frames: how many.
        amount, easing: of a preset.
        loop: for endless repetition.
        scale: of a file's positions.
        still: one picture is wanted, not a video.
    """

    camera: str
    frames: int | None = None
    amount: float | None = None
    easing: str | None = None
    loop: bool = False
    scale: float | None = None
    still: bool = False

    def refuse(self, name: str, why: str) -> None:
        """Raise InputError if an option was given that has no meaning here."""
        if getattr(self, name) is not None:
            raise InputError(f"--{name} {why}")


@dataclass(frozen=True)
class Plan:
    """The cameras that a file says, relative to the camera that takes the photo.

    Attributes:
        fps: frames per second.
        frames: how many.
        camera_at: the camera of a frame for pictures of a height and width.
        lens: the camera that took the photo, where the file says it.
    """

    fps: Fraction
    frames: int
    camera_at: Callable[[int, int, int], Camera]
    lens: Camera | None = None


@dataclass(frozen=True)
class Habits:
    """What a command does where neither the file nor the user says it.

    Attributes:
        frames: how many, for waypoints.
        scale: of a track, given its cameras around the first.
        says: what they do at that scale, to be told with it.
    """

    frames: int
    scale: Callable[[Sequence[Camera]], float]
    says: str


def is_preset(name: str, presets: Sequence[str]) -> bool:
    """Whether the word after ``--camera`` names a preset, and not a file.

    Raises:
        InputError: it looks like neither.
    """
    if name in presets:
        return True
    path = Path(name)
    if not path.exists() and path.suffix.lower() not in (".json", ".txt") and path.name == name:
        near = suggestion(name, presets) or f" (presets: {', '.join(presets)})"
        raise InputError(f"--camera {name}: neither a preset nor a file{near}")
    return False


def plan_from_file(wish: Wish, habits: Habits, fps: Fraction | None, height: int, width: int) -> Plan:
    """The plan in the file ``wish.camera``, for frames of ``height`` x ``width``.

    Raises:
        InputError: a wrong file, or a wish that has no meaning for it.
    """
    path = Path(wish.camera)
    if wish.scale is not None and not 0 <= wish.scale <= LARGEST_SCALE:
        raise InputError(f"--scale {wish.scale:g}: expected 0 to {LARGEST_SCALE:g}")
    if is_keyframes(path):
        return path_plan(wish, path, habits, fps or DEFAULT_FPS)
    return track_plan(wish, path, habits, fps, height, width)


def path_plan(wish: Wish, path: Path, habits: Habits, fps: Fraction) -> Plan:
    """The plan of keyframes, whose frames are as many as they last where nobody says it, or of waypoints."""
    way, seconds = read_path(path, FIELD_OF_VIEW, 1.0 if wish.scale is None else wish.scale)
    lasting = habits.frames if seconds is None else round(seconds * float(fps)) + (not wish.loop)
    frames = wish.frames or (1 if wish.still else max(lasting, 1))
    if frames > MOST_FRAMES:
        raise InputError(f"{path}: the keyframes last {frames:,} frames; at most {MOST_FRAMES:,} are made")
    return Plan(fps, frames, lambda frame, *size: way.view(way.progress(frame, frames, loop=wish.loop)).camera(*size))


def track_plan(wish: Wish, path: Path, habits: Habits, fps: Fraction | None, height: int, width: int) -> Plan:
    """The plan of a camera file, around its first camera; says the scale that it chooses."""
    if wish.loop:
        raise InputError("--loop is for presets and keyframes; a camera file is flown as it is")
    track = read_cameras(path, height, width)
    cameras = track.from_first()
    if wish.frames not in (None, len(cameras)):
        raise InputError(f"{path}: found {len(cameras)} cameras, wanted {wish.frames}; leave --frames out")
    scale = wish.scale
    if scale is None:
        scale = habits.scale(cameras)
        print(f"{path}: {len(cameras)} cameras; scale {scale:.4g}, so that they {habits.says}")
    scaled = [moved(camera, scale) for camera in cameras]
    return Plan(
        fps or track.fps or DEFAULT_FPS, len(scaled), lambda frame, *size: scaled[frame].resize(*size), cameras[0]
    )


def moved(camera: Camera, scale: float) -> Camera:
    """The camera with its distance from the origin multiplied."""
    pose = camera.cam_from_world.clone()
    pose[:3, 3] *= scale
    return camera.at(pose)


def claim_cameras(out: Path, overwrite: bool) -> None:
    """Refuse a name for ``--cameras-out`` that cannot be written, before any work is done."""
    if out.suffix.lower() not in ("", ".txt", ".json"):
        raise InputError(f"cannot write {out}: expected a name ending in .txt or .json, or a folder")
    if out.suffix or out.is_file():
        claim(out, overwrite)
    elif out.exists() and not overwrite:
        raise InputError(f"{out} exists; choose another name or give --overwrite")
