"""Where the cameras of ``viewsynth views`` come from: a preset, or a file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction

from torch import Tensor

from pipelines.camera_plans import DEFAULT_FPS, Habits, Wish, is_preset, plan_from_file
from pipelines.cli import suggestion
from pipelines.errors import InputError
from pipelines.media.framing import FIELD_OF_VIEW
from render_refine.camera import Camera
from render_refine.keyframes import EASINGS, CameraPath
from synsin.presets import PRESETS, Scene, preset_path

DEFAULT_FRAMES = 96
LARGEST_AMOUNT = 10.0
FILE_REACH = 0.2  # units that a camera file's path goes from its first camera, when its scale is not known

__all__ = ["Flight", "Wish", "cameras_along", "chosen_flight", "preset_cameras"]


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
    if is_preset(wish.camera, list(PRESETS)):
        return preset_flight(wish, fps or DEFAULT_FPS)
    wish.refuse("amount", "is for presets; a file takes --scale")
    wish.refuse("easing", "is for presets; keyframes say their own, and a camera file needs none")
    plan = plan_from_file(wish, HABITS, fps, height, width)
    cameras = [plan.camera_at(frame, height, width) for frame in range(plan.frames)]
    return Flight(plan.fps, lambda depth: cameras, plan.lens)


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


def scale_to_reach(cameras: Sequence[Camera]) -> float:
    """The scale at which cameras go `FILE_REACH` from the first."""
    reach = max(float(camera.centre.norm()) for camera in cameras)
    return FILE_REACH / reach if reach > 0 else 1.0


HABITS = Habits(DEFAULT_FRAMES, scale_to_reach, f"reach {FILE_REACH:g} units")
