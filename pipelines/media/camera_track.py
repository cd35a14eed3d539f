"""A track of cameras, and what is asked of every number that a camera file brings."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import NoReturn

import numpy as np
import torch

from pipelines.errors import InputError
from pipelines.media.depth_files import same_aspect
from render_refine.camera import Camera

# Camera axes of OpenGL (x right, y up, z backward) in camera axes of OpenCV (x right, y down, z forward); its
# own inverse.
OPENCV_FROM_OPENGL = np.diag([1.0, -1.0, -1.0, 1.0])
# The largest entry of RᵀR - 1 that passes for rounding: files hold four digits and more.
RIGID = 1e-3


@dataclass(frozen=True, eq=False)
class Track:
    """The cameras of a clip or of a set of photographs, one per frame.

    Attributes:
        cameras: at least one; all of one size; K (3, 3) and cam_from_world (4, 4) each, float64 as read, because
            the origin of an engine's or a surveyor's world may be far away.
        names: the image files' names as the camera file gives them, one per camera, where it gives any.
        fps: frames per second, where the file says so.
    """

    cameras: list[Camera]
    names: list[str] | None = None
    fps: Fraction | None = None

    def __post_init__(self) -> None:
        if not self.cameras:
            raise ValueError("a track needs at least one camera")
        if len({(camera.height, camera.width) for camera in self.cameras}) > 1:
            raise ValueError("the cameras of a track must have one size")
        if any(camera.K.ndim > 2 or camera.cam_from_world.ndim > 2 for camera in self.cameras):
            raise ValueError("the cameras of a track must be single ones, not batches")
        if self.names is not None and len(self.names) != len(self.cameras):
            raise ValueError(f"found {len(self.names)} names for {len(self.cameras)} cameras")

    def from_first(self) -> list[Camera]:
        """The cameras, float32, in the world whose axes and origin are those of the first camera.

        Numbers around the first camera are small, so that float32 is exact enough wherever the file's origin was.
        """
        world_from_first = self.cameras[0].world_from_cam
        return [camera.at(camera.cam_from_world @ world_from_first).to(torch.float32) for camera in self.cameras]


@dataclass(frozen=True)
class Place:
    """Where in a file a number stands, for the message: ``cameras.txt: line 7``."""

    file: str
    part: str = ""

    def refuse(self, why: str) -> NoReturn:
        """Raise the InputError that names this place."""
        raise InputError(": ".join(text for text in (self.file, self.part, why) if text))


def make_camera(K: np.ndarray, cam_from_world: np.ndarray, height: int, width: int) -> Camera:
    """A camera from float64 K (3, 3) and pose (4, 4)."""
    return Camera(height, width, torch.from_numpy(K), torch.from_numpy(cam_from_world))


def intrinsics(
    place: Place, focal: Sequence[float], centre: Sequence[float], found: tuple[int, int], wanted: tuple[int, int]
) -> np.ndarray:
    """Intrinsics (3, 3) in pixels of the wanted size from those in pixels of the found size.

    Args:
        place: for messages.
        focal, centre: (fx, fy) and (cx, cy) in pixels of an image of size ``found``.
        found, wanted: (height, width); of one aspect within 1 %.

    Raises:
        InputError: another aspect; numbers that are not finite; a focal length that is not positive, or is below
            1/100 or above 100 times the image's longer side.
    """
    if not same_aspect(found, wanted):
        sizes = "the cameras are for pictures of {}x{}, the frames have {}x{}".format(*found, *wanted)
        place.refuse(f"{sizes}: their aspects differ")
    scale = np.array([wanted[1] / found[1], wanted[0] / found[0]])
    f, c = np.array(focal) * scale, np.array(centre) * scale
    if not (np.isfinite(f).all() and np.isfinite(c).all()):
        place.refuse("the focal length or the principal point is not finite")
    side = max(wanted)
    if f.min() < side / 100 or f.max() > side * 100:
        lengths = "focal lengths of {:g} and {:g} times the picture's longer side".format(*(f / side))
        place.refuse(f"found {lengths}; expected 0.01 to 100")
    return np.array([[f[0], 0, c[0]], [0, f[1], c[1]], [0, 0, 1]])


def focal_from_fov(place: Place, angle: float, side: float) -> float:
    """Focal length in pixels that sees ``side`` pixels under ``angle`` radians, which must lie in (0, pi)."""
    if not 1e-6 < angle < math.pi:
        place.refuse(f"found a field of view of {math.degrees(angle):g} degrees, expected 0 to 180")
    return 0.5 * side / math.tan(0.5 * angle)


def refuse_distortion(place: Place, named: dict[str, float]) -> None:
    """Distortion other than zero has no place in a pinhole camera."""
    if wrong := {name: value for name, value in named.items() if value != 0}:
        found = ", ".join(f"{name} = {value:g}" for name, value in wrong.items())
        place.refuse(f"found lens distortion ({found}); expected none: undistort the pictures first")


def rigid(place: Place, matrix: np.ndarray) -> np.ndarray:
    """A rotation and translation (4, 4) float64, from the 3x4 or 4x4 matrix of a file.

    The digits that a file keeps make a rotation slightly wrong; it is replaced by the nearest one.

    Raises:
        InputError: not finite, another last row than (0, 0, 0, 1), or a scale, a shear or a mirror in it.
    """
    if not np.isfinite(matrix).all():
        place.refuse("the matrix holds a number that is not finite")
    if len(matrix) == 4 and np.abs(matrix[3] - [0, 0, 0, 1]).max() > 1e-6:
        last = ", ".join(f"{number:g}" for number in matrix[3])
        place.refuse(f"found a matrix whose last row is ({last}), expected (0, 0, 0, 1)")
    R = matrix[:3, :3]
    if np.abs(matrix[:3]).max() > 1e30:
        place.refuse("the matrix holds a number above 1e30")
    if np.abs(R.T @ R - np.eye(3)).max() > RIGID:
        lengths = ", ".join(f"{length:.6g}" for length in np.linalg.norm(R, axis=0))
        place.refuse(f"the matrix is no rotation: its columns have the lengths {lengths}, or are not at right angles")
    if np.linalg.det(R) < 0:
        place.refuse("the matrix mirrors (its determinant is -1), expected a rotation")
    U, _, Vt = np.linalg.svd(R)
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = U @ Vt, matrix[:3, 3]
    return pose


def inverse(pose: np.ndarray) -> np.ndarray:
    """Inverse of a rigid transform (4, 4)."""
    R, t = pose[:3, :3], pose[:3, 3]
    result = np.eye(4)
    result[:3, :3], result[:3, 3] = R.T, -R.T @ t
    return result


def poses_of(track: Track) -> list[np.ndarray]:
    """cam_from_world (4, 4) of every camera, float64, for writing."""
    return [camera.cam_from_world.detach().double().cpu().numpy() for camera in track.cameras]


def lens_of(camera: Camera) -> tuple[float, float, float, float]:
    """(fx, fy, cx, cy) in pixels, for writing."""
    K = camera.K.detach().double().cpu()
    return float(K[0, 0]), float(K[1, 1]), float(K[0, 2]), float(K[1, 2])


def read_text(path: str, data: bytes) -> str:
    """The text of a camera file."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InputError(f"{path}: found bytes that are not text, expected a camera file in UTF-8") from None


def read_numbers(place: Place, words: Sequence[str]) -> list[float]:
    """Words as finite numbers."""
    numbers = []
    for word in words:
        try:
            number = float(word)
        except ValueError:
            place.refuse(f"found {word[:40]!r}, expected a number")
        if not math.isfinite(number):
            place.refuse(f"found {word[:40]!r}, expected a finite number")
        numbers.append(number)
    return numbers
