"""Where the cameras of ``viewsynth views`` come from: a preset, keyframes, or a camera file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from torch import Tensor

from pipelines.cli import suggestion
from pipelines.errors import InputError
from pipelines.media.camera_files import read_cameras
from pipelines.media.framing import FIELD_OF_VIEW
from pipelines.media.keyframe_files import is_keyframes, read_keyframes
from render_refine.camera import Camera
from render_refine.keyframes import EASINGS, CameraPath, keyframe_path
from synsin.presets import PRESETS, Scene, preset_path

DEFAULT_FRAMES = 96
DEFAULT_FPS = Fraction(24)
LARGEST_AMOUNT = 10.0
LARGEST_SCALE = 1e6
MOST_FRAMES = 1_000_000
FILE_REACH = 0.2  # units that a camera file's path goes from its first camera, when its scale is not known


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
class Flight:
    """The cameras, as far as they can be known before the photo's depth is.

    Attributes:
        fps: frames per second.
        cameras: one per frame, given the photo's depth (H, W), in its units, around the camera that took the photo.
        lens: the camera that took the photo, where a file says it.
    """

    fps: Fraction
    cameras: Callable[[Tensor], list[Camera]]
    lens: Camera | None = None


def chosen_flight(wish: Wish, fps: Fraction | None, height: int, width: int) -> Flight:
    """The flight for frames of ``height`` x ``width``.

    Raises:
        InputError: an unknown preset, a wrong file, or a wish that has no meaning for the camera that was named.
    """
    path = Path(wish.camera)
    if wish.camera in PRESETS:
        return preset_flight(wish, fps or DEFAULT_FPS)
    if not path.exists() and path.suffix.lower() not in (".json", ".txt") and path.name == wish.camera:
        near = suggestion(wish.camera, PRESETS) or f" (presets: {', '.join(PRESETS)})"
        raise InputError(f"--camera {wish.camera}: neither a preset nor a file{near}")
    wish.refuse("amount", "is for presets; a file takes --scale")
    wish.refuse("easing", "is for presets; keyframes say their own, and a camera file needs none")
    if wish.scale is not None and not 0 <= wish.scale <= LARGEST_SCALE:
        raise InputError(f"--scale {wish.scale:g}: expected 0 to {LARGEST_SCALE:g}")
    if is_keyframes(path):
        return keyframe_flight(wish, path, fps or DEFAULT_FPS, height, width)
    return file_flight(wish, path, fps, height, width)


def preset_flight(wish: Wish, fps: Fraction) -> Flight:
    """The flight of a preset, scaled by the photo's depth."""
    wish.refuse("scale", "is for files; a preset takes --amount")
    amount = 1.0 if wish.amount is None else wish.amount
    if not abs(amount) <= LARGEST_AMOUNT:
        raise InputError(f"--amount {amount:g}: expected -{LARGEST_AMOUNT:g} to {LARGEST_AMOUNT:g}")
    easing = wish.easing or "linear"
    if easing not in EASINGS:
        raise InputError(f"--easing {easing}: expected one of {', '.join(EASINGS)}{suggestion(easing, EASINGS)}")
    if wish.loop and easing != "linear":
        raise InputError(f"--easing {easing} with --loop: a loop has neither beginning nor end to ease")
    frames = wish.frames or (1 if wish.still else DEFAULT_FRAMES)
    return Flight(
        fps,
        lambda depth: preset_cameras(wish.camera, depth, frames, amount=amount, easing=easing, loop=wish.loop),
    )


def preset_cameras(
    name: str, depth: Tensor, frames: int, *, amount: float = 1.0, easing: str = "linear", loop: bool = False
) -> list[Camera]:
    """The cameras of a preset around a photo that was taken with the usual lens.

    Args:
        name: of `synsin.presets.PRESETS`.
        depth: (H, W) of the photo, inf in the sky.
        frames, easing, loop: see `render_refine.keyframes.CameraPath.views`.
        amount: multiplies every distance and angle.
    """
    path = preset_path(name, Scene.of(depth.cpu(), FIELD_OF_VIEW), amount)
    return cameras_along(path, depth.shape[0], depth.shape[1], frames, easing, loop)


def cameras_along(
    path: CameraPath, height: int, width: int, frames: int, easing: str = "linear", loop: bool = False
) -> list[Camera]:
    """One camera per frame of a path."""
    return [view.camera(height, width) for view in path.views(frames, easing, loop)]


def keyframe_flight(wish: Wish, path: Path, fps: Fraction, height: int, width: int) -> Flight:
    """The flight through the keyframes of a file; left out, the frames are as many as they last."""
    scale = 1.0 if wish.scale is None else wish.scale
    keys = [key.scaled(scale) for key in read_keyframes(path, FIELD_OF_VIEW)]
    lasting = round((keys[-1].time - keys[0].time) * float(fps)) + (not wish.loop)
    frames = wish.frames or (1 if wish.still else max(lasting, 1))
    if frames > MOST_FRAMES:
        raise InputError(f"{path}: the keyframes last {frames:,} frames; at most {MOST_FRAMES:,} are made")
    cameras = cameras_along(keyframe_path(keys), height, width, frames, loop=wish.loop)
    return Flight(fps, lambda depth: cameras)


def file_flight(wish: Wish, path: Path, fps: Fraction | None, height: int, width: int) -> Flight:
    """The flight of a camera file, around its first camera; says the scale that it chooses."""
    if wish.loop:
        raise InputError("--loop is for presets and keyframes; a camera file is flown as it is")
    track = read_cameras(path, height, width)
    cameras = track.from_first()
    if wish.frames not in (None, len(cameras)):
        raise InputError(f"{path}: found {len(cameras)} cameras, wanted {wish.frames}; leave --frames out")
    scale = wish.scale
    if scale is None:
        reach = max(float(camera.centre.norm()) for camera in cameras)
        scale = FILE_REACH / reach if reach > 0 else 1.0
        print(f"{path}: {len(cameras)} cameras; scale {scale:.4g}, so that they reach {scale * reach:g} units")
    scaled = [moved(camera, scale) for camera in cameras]
    return Flight(fps or track.fps or DEFAULT_FPS, lambda depth: scaled, cameras[0])


def moved(camera: Camera, scale: float) -> Camera:
    """The camera with its distance from the origin multiplied."""
    pose = camera.cam_from_world.clone()
    pose[:3, 3] *= scale
    return camera.at(pose)
