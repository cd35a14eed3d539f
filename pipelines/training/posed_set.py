"""Photographs whose cameras are known: folders as the well-known data sets lay them out.

| data set                | cameras                                  | frames                                  |
| ----------------------- | ---------------------------------------- | --------------------------------------- |
| RealEstate10K, ACID     | a .txt of 19 numbers a line              | named by microseconds, or numbered      |
| nerfstudio, instant-ngp | transforms.json                          | named in it                             |
| COLMAP, text model      | cameras.txt and images.txt, or sparse/0  | named in it, in the folder or in images |

Frames of RealEstate10K and ACID lie beside the .txt or in ``images``. Timestamps match within 8 ms, half a frame of
60 fps; plain numbers without gaps count the lines of the file. Its intrinsics are divided by the size of the video's
full frame, whose aspect follows from its square pixels; frames of another aspect (by at most 5 %) are centre crops.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from pipelines.errors import InputError
from pipelines.media.camera_files import Track, read_cameras
from pipelines.media.camera_json import DISTORTION, read_json
from pipelines.media.images import LARGEST_FILE, read_bytes, read_image, to_pixels, to_tensor
from pipelines.media.sequences import natural_key
from render_refine.camera import Camera

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")
SPARSE = (".", "sparse/0", "sparse")
NEAR_IN_TIME = 8_000  # microseconds
LARGEST_CROP = 1.05  # ratio of aspects beyond which a frame may as well have been squeezed
COLUMNS = 19
BROWN = ("k1", "k2", "p1", "p2", "k3", "k4", "k5", "k6")  # OpenCV's order


@dataclass(frozen=True, eq=False)
class PosedClip:
    """Frames of one still place and their cameras.

    Attributes:
        folder: where they were read.
        rgb: (T, 3, H, W) uint8.
        cameras: T, float32, of size H x W; the world is that of the first. The unit of length is the file's.
        names: of the frames' files.
    """

    folder: Path
    rgb: Tensor
    cameras: list[Camera]
    names: list[str]

    def __len__(self) -> int:
        return len(self.cameras)

    def frame(self, index: int) -> Tensor:
        """(3, H, W) float in [0, 1]."""
        return self.rgb[index].float() / 255

    @staticmethod
    def read(folder: Path, short_side: int) -> PosedClip:
        """Read a clip, scaled so that the shorter side of its frames has ``short_side`` pixels.

        Lens distortion that ``transforms.json`` gives is taken out of the frames; other formats must have none.

        Raises:
            InputError: no cameras here; a frame missing, damaged or of another size than the first; cameras that
                ``read_cameras`` refuses, or of another aspect than the frames.
        """
        source = camera_source(folder)
        if source is None:
            raise InputError(
                f"{folder}: found no cameras, expected transforms.json, a COLMAP text model or a RealEstate10K file"
            )
        if source.suffix == ".json":
            files, track, maps = read_transforms(folder, source)
        elif source.suffix == ".txt":
            (files, track), maps = read_estate(folder, source), None
        else:
            (files, track), maps = read_model(folder, source), None
        height, width = track.cameras[0].height, track.cameras[0].width
        scale = short_side / min(height, width)
        size = (round(height * scale), round(width * scale))
        frames = [read_frame(file, (height, width), size, maps) for file in files]
        cameras = [camera.resize(*size) for camera in track.from_first()]
        return PosedClip(folder, torch.stack(frames), cameras, [file.name for file in files])


def posed_clips(folder: Path) -> list[Path]:
    """The folders at or below ``folder`` that ``PosedClip.read`` reads, in order.

    Raises:
        InputError: no such folder, or there are none.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder")

    clips = []
    for place, inside, _ in os.walk(folder):
        if camera_source(Path(place)) is not None:
            clips.append(Path(place))
            inside.clear()  # below a clip there is none
    if not clips:
        raise InputError(f"{folder}: found no frames with cameras (transforms.json, COLMAP, RealEstate10K) below it")
    return sorted(clips)


def camera_source(folder: Path) -> Path | None:
    """The file, or the folder of a COLMAP model, that holds a clip's cameras; None when there is none."""
    if (folder / "transforms.json").is_file():
        return folder / "transforms.json"
    for part in SPARSE:
        if all((folder / part / name).is_file() for name in ("cameras.txt", "images.txt")):
            return folder / part
    texts = [path for path in sorted(folder.glob("*.txt")) if looks_like_estate(path)]
    return texts[0] if len(texts) == 1 else None


def looks_like_estate(path: Path) -> bool:
    """Whether one of the first two lines has as many numbers as RealEstate10K's."""
    with open(path, "rb") as file:
        lines = file.read(4096).splitlines()[:2]
    return any(len(line.split()) == COLUMNS for line in lines)


def read_estate(folder: Path, source: Path) -> tuple[list[Path], Track]:
    """Frames and cameras of a RealEstate10K or ACID clip."""
    found = [p for place in (folder, folder / "images") for p in files_in(place)]
    if not found:
        raise InputError(f"{folder}: found {source.name} but no frames beside it or in images")
    height, width = size_of(found[0])
    track = read_cameras(source, height, width)
    files = frames_in_time(source, found, len(track.cameras))
    return files, Track([uncropped(source, camera) for camera in track.cameras])


def frames_in_time(source: Path, found: list[Path], count: int) -> list[Path]:
    """The frame of each of the ``count`` lines with numbers of a camera file."""
    numbers = {}
    for path in found:
        digits = re.findall(r"\d+", path.stem)
        if not digits:
            raise InputError(f"{path}: expected a frame named by its number or its time in microseconds")
        numbers[int(digits[-1])] = path
    if len(numbers) < len(found):
        raise InputError(f"{found[0].parent}: found two frames with one number")
    order = np.array(sorted(numbers))
    if order[-1] - order[0] == len(order) - 1:  # 0, 1, 2, ...: no times
        if len(order) != count:
            raise InputError(f"{source}: found {count} cameras for {len(order)} frames, expected one each")
        return [numbers[int(number)] for number in order]
    lines = read_bytes(source, "a camera file", LARGEST_FILE).decode("utf-8-sig").splitlines()
    files = []
    for time in (float(words[0]) for line in lines if len(words := line.split()) == COLUMNS):
        nearest = int(order[np.abs(order - time).argmin()])
        if abs(nearest - time) > NEAR_IN_TIME:
            raise InputError(f"{source}: the camera at {time:.0f} us has no frame within 8 ms in {found[0].parent}")
        if numbers[nearest] in files:
            raise InputError(f"{numbers[nearest]}: the frame nearest to two cameras of {source.name}")
        files.append(numbers[nearest])
    return files


def uncropped(source: Path, camera: Camera) -> Camera:
    """The camera of a frame that was cropped from the middle of a full frame, which its file's numbers are for."""
    fx, fy = (float(camera.K[k, k]) for k in (0, 1))
    aspect = fy / camera.height / (fx / camera.width)  # width / height of the full frame, its pixels being square
    ratio = camera.width / camera.height / aspect
    if not 1 / LARGEST_CROP <= ratio <= LARGEST_CROP:
        raise InputError(
            f"{source}: the cameras are for frames of aspect {aspect:.3f}, found frames of "
            f"{camera.height}x{camera.width}: whether they were cropped or squeezed cannot be told"
        )
    # In pixels of the frame, the full frame is larger by the ratio on one side.
    full = camera.K.new_tensor([max(1.0, 1 / ratio), max(1.0, ratio)])
    K = camera.K.clone()
    K[0, 0], K[1, 1] = fx * full[0], fy * full[1]
    size = K.new_tensor([camera.width, camera.height])
    K[:2, 2] = camera.K[:2, 2] * full - 0.5 * size * (full - 1)
    return Camera(camera.height, camera.width, K, camera.cam_from_world)


def read_model(folder: Path, source: Path) -> tuple[list[Path], Track]:
    """Frames and cameras of a COLMAP text model; lens distortion is refused."""
    # The names come before the size of the pictures: any will do to read them, as the aspect is not looked at.
    names = [words[9] for words in map(str.split, image_lines(source)) if len(words) >= 10]
    if not names:
        raise InputError(f"{source / 'images.txt'}: there are no images in this file")
    track = read_cameras(source, *size_of(frame_named(folder, source, names[0])))
    return [frame_named(folder, source, name) for name in track.names or []], track


def image_lines(source: Path) -> list[str]:
    """The first line of each image in ``images.txt``."""
    text = read_bytes(source / "images.txt", "a COLMAP text model", LARGEST_FILE).decode("utf-8-sig", "replace")
    return [line for line in text.splitlines() if not line.lstrip().startswith("#")][::2]


def read_transforms(folder: Path, source: Path) -> tuple[list[Path], Track, tuple[np.ndarray, np.ndarray] | None]:
    """Frames and cameras of a ``transforms.json``, and where each undistorted pixel comes from (None: from itself)."""
    data = read_bytes(source, "a camera file", LARGEST_FILE)
    try:
        values = json.loads(data)
        frames = values["frames"]
        first = str(frames[0]["file_path"])
    except (ValueError, KeyError, IndexError, TypeError):
        raise InputError(f'{source}: expected JSON with a list "frames", each with a "file_path"') from None
    height, width = size_of(frame_named(folder, source, first))
    lens = {name: values.pop(name) for name in DISTORTION if values.get(name) is not None}
    distortion = np.array([number_of(source, lens.get(name, 0.0), name) for name in BROWN])
    track = read_json(source, json.dumps(values).encode(), height, width)
    files = [frame_named(folder, source, name) for name in track.names or []]
    if not distortion.any():
        return files, track, None
    K = track.cameras[0].K.numpy().copy()
    if any((camera.K != track.cameras[0].K).any() for camera in track.cameras):
        raise InputError(f"{source}: found one distortion for several lenses; undistort the pictures first")
    K[:2, 2] -= 0.5  # OpenCV counts from the middle of the first pixel
    maps = cv2.initUndistortRectifyMap(K, distortion, None, K, (width, height), cv2.CV_32FC1)
    return files, track, (maps[0], maps[1])


def number_of(source: Path, value: Any, name: str) -> float:
    """A JSON value as a finite number."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not np.isfinite(value):
        raise InputError(f'{source}: expected a number for "{name}", found {value!r:.40}')
    return float(value)


def files_in(folder: Path) -> list[Path]:
    """The pictures of a folder, in natural order; none where there is no folder."""
    if not folder.is_dir():
        return []
    names = (entry.name for entry in os.scandir(folder) if entry.is_file() and not entry.name.startswith("."))
    return [folder / name for name in sorted(names, key=natural_key) if Path(name).suffix.lower() in SUFFIXES]


def frame_named(folder: Path, source: Path, name: str) -> Path:
    """The file of a frame that a camera file names: below the folder or its ``images``, maybe without its suffix."""
    for place in (folder, folder / "images"):
        for suffix in ("", *SUFFIXES):
            if (path := place / f"{name}{suffix}").is_file():
                return path
    raise InputError(f"{source}: names the frame {name}, which is not in {folder} nor in its images")


def size_of(path: Path) -> tuple[int, int]:
    """Height and width of a picture."""
    height, width = read_image(path).shape[-2:]
    return height, width


def read_frame(
    path: Path, found: tuple[int, int], wanted: tuple[int, int], maps: tuple[np.ndarray, np.ndarray] | None
) -> Tensor:
    """A frame of size ``found``, undistorted by ``maps``, scaled to the wanted size: (3, H, W) uint8."""
    rgb = read_image(path)
    if tuple(rgb.shape[-2:]) != found:
        raise InputError("{}: found a frame of {}x{}, the first has {}x{}".format(path, *rgb.shape[-2:], *found))
    if maps is not None:
        rgb = to_tensor(cv2.remap(to_pixels(rgb), *maps, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE))
    small = F.interpolate(rgb[None], size=wanted, mode="bilinear", antialias=True, align_corners=False)[0]
    return (small.clamp(0, 1) * 255).round().to(torch.uint8)
