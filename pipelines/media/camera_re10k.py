"""Cameras as RealEstate10K and ACID keep them: one line of 19 numbers per frame.

    https://www.youtube.com/watch?v=...        (the first line may be missing)
    timestamp fx fy cx cy k1 k2  r11 r12 r13 t1  r21 r22 r23 t2  r31 r32 r33 t3

Time in microseconds; intrinsics divided by the image's width (fx, cx) and height (fy, cy); the 3x4 matrix is
``cam_from_world`` with OpenCV axes. (Zhou et al. 2018, "Stereo magnification", section 5.)
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np

from pipelines.errors import InputError
from pipelines.media.camera_track import (
    Place,
    Track,
    intrinsics,
    lens_of,
    make_camera,
    poses_of,
    read_numbers,
    read_text,
    refuse_distortion,
    rigid,
)

COLUMNS = 19
MICROSECONDS = 1_000_000


def read_re10k(path: Path, data: bytes, height: int, width: int) -> Track:
    """The cameras in the order of the lines; ``fps`` where the timestamps have an even step
    (those of frames picked from a video often have not).

    The file does not know the image's size: its numbers hold for the full frame at any resolution.
    """
    cameras, times = [], []
    for count, line in enumerate(read_text(str(path), data).splitlines(), start=1):
        words = line.split()
        place = Place(str(path), f"line {count}")
        if not words or (count == 1 and len(words) == 1 and "://" in line):
            continue
        if len(words) != COLUMNS:
            place.refuse(
                f"found {len(words)} numbers, expected {COLUMNS} (timestamp fx fy cx cy k1 k2, 3x4 world-to-camera)"
            )
        time, fx, fy, cx, cy, k1, k2, *matrix = read_numbers(place, words)
        refuse_distortion(place, {"k1": k1, "k2": k2})
        size = height, width
        K = intrinsics(place, (fx * width, fy * height), (cx * width, cy * height), size, size)
        cameras.append(make_camera(K, rigid(place, np.reshape(matrix, (3, 4))), height, width))
        times.append(time)
    if not cameras:
        raise InputError(f"{path}: there are no cameras in this file")
    return Track(cameras, fps=rate(times))


def rate(times: list[float]) -> Fraction | None:
    """Frames per second of evenly spaced timestamps in microseconds; None when they say no rate a video has."""
    steps = np.diff(times)
    if not len(steps) or steps.min() <= 0 or steps.max() - steps.min() > 0.01 * steps.mean():
        return None
    fps = Fraction(MICROSECONDS / float(steps.mean())).limit_denominator(1001)
    return fps if Fraction(1, 10) <= fps <= 1000 else None


def write_re10k(track: Track) -> str:
    """The text of the file. Names have no place in it; without ``fps`` the timestamps count the frames."""
    step = MICROSECONDS / track.fps if track.fps else Fraction(1)
    lines = []
    for index, (camera, pose) in enumerate(zip(track.cameras, poses_of(track), strict=True)):
        fx, fy, cx, cy = lens_of(camera)
        lens = [fx / camera.width, fy / camera.height, cx / camera.width, cy / camera.height, 0.0, 0.0]
        numbers = [*lens, *pose[:3].flatten()]
        lines.append(f"{round(index * step)} " + " ".join(f"{number:.12g}" for number in numbers))
    return "\n".join(lines) + "\n"
