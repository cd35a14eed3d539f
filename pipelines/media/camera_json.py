"""The three JSON formats: ``transforms.json``, ``camera_path.json``, and a plain one for whoever writes their own.

All of them store ``world_from_cam`` (camera-to-world), row by row. nerfstudio and instant-ngp use the axes of
OpenGL: x right, y up, z backward. The plain format says which it uses::

    {
      "convention": "opencv",                  or "opengl", or "blender" (the same as "opengl")
      "fps": 24,                               may be left out
      "width": 1920, "height": 1080,           needed with fx; with fov_deg only the aspect is compared
      "cameras": [
        {"name": "0001.png", "fov_deg": 50, "matrix": [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]},
        {"fx": 1100, "fy": 1100, "cx": 960, "cy": 540, "matrix": ...}
      ]
    }

``fov_deg`` is the vertical field of view, with square pixels and the principal point in the middle. What all
cameras share (``fov_deg``, ``fx``, ...) may stand once, beside ``cameras``. Names: for all cameras or for none.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.errors import InputError
from pipelines.media.camera_track import (
    OPENCV_FROM_OPENGL,
    Place,
    Track,
    focal_from_fov,
    intrinsics,
    inverse,
    lens_of,
    make_camera,
    poses_of,
    read_text,
    refuse_distortion,
    rigid,
)
from pipelines.media.sequences import natural_key

AXES = {"opencv": np.eye(4), "opengl": OPENCV_FROM_OPENGL, "blender": OPENCV_FROM_OPENGL}
PINHOLES = ("PINHOLE", "SIMPLE_PINHOLE", "OPENCV", "SIMPLE_RADIAL", "RADIAL", "perspective")
DISTORTION = ("k1", "k2", "k3", "k4", "k5", "k6", "p1", "p2")


class Fields:
    """A JSON object whose values are checked as they are taken out."""

    def __init__(self, place: Place, values: Any) -> None:
        if not isinstance(values, dict):
            place.refuse(f"found {kind(values)}, expected an object")
        self.place, self.values = place, values

    def __contains__(self, key: str) -> bool:
        return self.values.get(key) is not None

    def number(self, key: str, default: float | None = None) -> float:
        """A finite number."""
        if key not in self:
            if default is None:
                self.place.refuse(f'there is no "{key}"')
            return default
        return finite(self.place, self.values[key], f'"{key}"')

    def size(self, height: str, width: str) -> tuple[int, int] | None:
        """Height and width in whole pixels under these two keys; None without them."""
        if height not in self and width not in self:
            return None
        h, w = self.number(height), self.number(width)
        if min(h, w) < 1 or h % 1 or w % 1:
            self.place.refuse(f"found pictures of {h:g}x{w:g}, expected whole pixels")
        return int(h), int(w)

    def text(self, key: str) -> str:
        """A string."""
        if not isinstance(self.values.get(key), str):
            self.place.refuse(f'found {kind(self.values.get(key))} for "{key}", expected text')
        return self.values[key]

    def rate(self) -> Fraction | None:
        """Frames per second, if the file says any; 23.976023976 is 24000/1001."""
        if "fps" not in self:
            return None
        fps = self.number("fps")
        if not 0.01 <= fps <= 1000:
            self.place.refuse(f'found {fps:g} for "fps", expected 0.01 to 1000')
        return Fraction(fps).limit_denominator(1001)

    def matrix(self, key: str) -> np.ndarray:
        """A rigid transform (4, 4) from 4 rows of 4 numbers, 3 rows of 4, or the same numbers in one list."""
        value = self.values.get(key)
        rows = value if isinstance(value, list) else []
        numbers = [x for row in rows for x in (row if isinstance(row, list) else [row])]
        if len(numbers) not in (12, 16):
            found = f"{len(numbers)} numbers" if isinstance(value, list) else kind(value)
            self.place.refuse(f'found {found} for "{key}", expected a 4x4 matrix')
        checked = [finite(self.place, x, f'"{key}"') for x in numbers]
        return rigid(self.place, np.reshape(checked, (-1, 4)))

    def each(self, key: str, word: str, shared: bool = False) -> list[Fields]:
        """The objects of a list that is not empty; with ``shared``, completed by what this object says for all."""
        items = self.values.get(key)
        if not isinstance(items, list) or not items:
            self.place.refuse(f'found {kind(items)} for "{key}", expected a list that is not empty')
        common = {name: value for name, value in self.values.items() if name != key} if shared else {}
        fields = [Fields(Place(self.place.file, f"{word} {n}"), item) for n, item in enumerate(items)]
        return [Fields(item.place, {**common, **item.values}) for item in fields]

    def names(self, items: list[Fields], key: str) -> list[str] | None:
        """The names under a key, if the items have any."""
        return [item.text(key) for item in items] if any(key in item for item in items) else None


def kind(value: Any) -> str:
    """What a JSON value is, for a message."""
    if value is None:
        return "nothing"
    names = {dict: "an object", list: "a list" if value else "an empty list", str: "text", bool: "true or false"}
    return names.get(type(value), "a number")


def finite(place: Place, value: Any, name: str) -> float:
    """A JSON value as a finite number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        place.refuse(f"found {kind(value)} in {name}, expected a number")
    if not abs(value) < 1e300:  # also a whole number too long for a float
        place.refuse(f"found a number in {name} that is not finite")
    return float(value)


def read_json(path: Path, data: bytes, height: int, width: int) -> Track:
    """The cameras of any of the three formats, told apart by the list that they have.

    Raises:
        InputError: no JSON, none of the three, or wrong in any way that these functions name.
    """
    try:
        values = json.loads(read_text(str(path), data))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: not a JSON file that can be read ({error})") from None
    fields = Fields(Place(str(path)), values)
    for key, reader in {"frames": read_transforms, "camera_path": read_path, "cameras": read_plain}.items():
        if key in fields:
            return reader(fields, height, width)
    wanted = '"frames" (transforms.json), "camera_path" (camera_path.json) or "cameras"'
    fields.place.refuse(f"found no list of cameras, expected {wanted}")


def read_transforms(fields: Fields, height: int, width: int) -> Track:
    """nerfstudio's and instant-ngp's ``transforms.json``, in the natural order of the files' names.

    Intrinsics stand once or per frame: fl_x, fl_y, cx, cy in pixels of w x h, or camera_angle_x in radians.
    """
    frames = fields.each("frames", "frame", shared=True)
    names = fields.names(frames, "file_path")
    cameras = []
    for frame in frames:
        K = transforms_lens(frame, height, width)
        world_from_cam = frame.matrix("transform_matrix") @ OPENCV_FROM_OPENGL
        cameras.append(make_camera(K, inverse(world_from_cam), height, width))
    if names is None:
        return Track(cameras, fps=fields.rate())
    order = sorted(range(len(names)), key=lambda index: natural_key(names[index]))
    return Track([cameras[index] for index in order], [names[index] for index in order], fields.rate())


def transforms_lens(frame: Fields, height: int, width: int) -> np.ndarray:
    """K (3, 3) of a frame of ``transforms.json``."""
    if "camera_model" in frame and (model := frame.text("camera_model")) not in PINHOLES:
        frame.place.refuse(f"found the camera model {model[:40]!r}, expected a pinhole camera such as OPENCV")
    if frame.values.get("is_fisheye"):
        frame.place.refuse("found a fisheye camera, expected a pinhole camera")
    refuse_distortion(frame.place, {name: frame.number(name, 0.0) for name in DISTORTION})
    size = frame.size("h", "w")
    if "fl_x" in frame:
        if size is None:
            frame.place.refuse('found "fl_x" without "w" and "h", the size that it is for')
        fx = frame.number("fl_x")
        focal = fx, frame.number("fl_y", fx)
    elif "camera_angle_x" in frame:
        size = size or (height, width)
        fx = focal_from_fov(frame.place, frame.number("camera_angle_x"), size[1])
        fy = focal_from_fov(frame.place, frame.number("camera_angle_y"), size[0]) if "camera_angle_y" in frame else fx
        focal = fx, fy
    else:
        frame.place.refuse('found neither "fl_x" nor "camera_angle_x"')
    centre = frame.number("cx", size[1] / 2), frame.number("cy", size[0] / 2)
    return intrinsics(frame.place, focal, centre, size, (height, width))


def read_path(fields: Fields, height: int, width: int) -> Track:
    """nerfstudio's ``camera_path.json``, as its viewer exports it: a vertical field of view per frame."""
    if "camera_type" in fields and (model := fields.text("camera_type")) != "perspective":
        fields.place.refuse(f'found the camera type {model[:40]!r}, expected "perspective"')
    size = fields.size("render_height", "render_width") or (height, width)
    cameras = []
    for frame in fields.each("camera_path", "frame"):
        focal = focal_from_fov(frame.place, math.radians(frame.number("fov")), size[0])
        K = intrinsics(frame.place, (focal, focal), (size[1] / 2, size[0] / 2), size, (height, width))
        world_from_cam = frame.matrix("camera_to_world") @ OPENCV_FROM_OPENGL
        cameras.append(make_camera(K, inverse(world_from_cam), height, width))
    return Track(cameras, fps=fields.rate())


def read_plain(fields: Fields, height: int, width: int) -> Track:
    """The plain format of this module's docstring, in the order of the file."""
    if (convention := fields.text("convention")) not in AXES:
        fields.place.refuse(f'found {convention[:40]!r} for "convention", expected one of {", ".join(AXES)}')
    items = fields.each("cameras", "camera", shared=True)
    cameras = []
    for item in items:
        size = item.size("height", "width")
        if ("fov_deg" in item) == ("fx" in item):
            item.place.refuse('expected either "fov_deg" or "fx", "fy", "cx", "cy"')
        if "fov_deg" in item:
            size = size or (height, width)
            fx = fy = focal_from_fov(item.place, math.radians(item.number("fov_deg")), size[0])
            cx, cy = size[1] / 2, size[0] / 2
        else:
            fx, fy, cx, cy = (item.number(key) for key in ("fx", "fy", "cx", "cy"))
            if size is None:
                item.place.refuse('found "fx" without "width" and "height", the size that it is for')
        K = intrinsics(item.place, (fx, fy), (cx, cy), size, (height, width))
        cameras.append(make_camera(K, inverse(item.matrix("matrix") @ AXES[convention]), height, width))
    return Track(cameras, fields.names(items, "name"), fields.rate())


def write_transforms(track: Track) -> str:
    """The text of a ``transforms.json``, with intrinsics per frame; frames without names are 000000.png and so on."""
    first = track.cameras[0]
    names = track.names or [f"{index:06d}.png" for index in range(len(track.cameras))]
    frames = []
    for name, camera, pose in zip(names, track.cameras, world_from_opengl(track), strict=True):
        lens = dict(zip(("fl_x", "fl_y", "cx", "cy"), lens_of(camera), strict=True))
        frames.append({"file_path": name, **lens, "transform_matrix": pose.tolist()})
    head = {"camera_model": "PINHOLE", "w": first.width, "h": first.height, **rate_of(track)}
    return json_text(head, "frames", frames)


def write_path(path: Path, track: Track) -> str:
    """The text of a ``camera_path.json``. Names have no place in it; without ``fps`` it says 24.

    Raises:
        InputError: pixels that are not square, or a principal point beside the middle, by over 0.01 pixels: the
            format cannot say that.
    """
    first = track.cameras[0]
    height, width = first.height, first.width
    fps = float(track.fps or 24)
    frames = []
    for index, (camera, pose) in enumerate(zip(track.cameras, world_from_opengl(track), strict=True)):
        fx, fy, cx, cy = lens_of(camera)
        if max(abs(fx / fy - 1) * width / 2, abs(cx - width / 2), abs(cy - height / 2)) > 0.01:
            raise InputError(
                f"cannot write {path}: frame {index} has fx, fy, cx, cy = {fx:g}, {fy:g}, {cx:g}, {cy:g} "
                f"at {height}x{width}; this format holds square pixels and a centred principal point only"
            )
        fov = math.degrees(2 * math.atan(0.5 * height / fy))
        frames.append({"camera_to_world": pose.flatten().tolist(), "fov": fov, "aspect": width / height})
    head: dict[str, Any] = {
        "default_fov": frames[0]["fov"],
        "keyframes": [],
        "camera_type": "perspective",
        "render_height": height,
        "render_width": width,
        "fps": fps,
        "seconds": len(frames) / fps,
        "is_cycle": False,
        "smoothness_value": 0.0,
    }
    return json_text(head, "camera_path", frames)


def write_plain(track: Track) -> str:
    """The text of the plain format, with OpenCV axes."""
    first = track.cameras[0]
    cameras = []
    for index, (camera, pose) in enumerate(zip(track.cameras, poses_of(track), strict=True)):
        name = {"name": track.names[index]} if track.names else {}
        lens = dict(zip(("fx", "fy", "cx", "cy"), lens_of(camera), strict=True))
        cameras.append({**name, **lens, "matrix": inverse(pose).tolist()})
    head = {"convention": "opencv", "width": first.width, "height": first.height, **rate_of(track)}
    return json_text(head, "cameras", cameras)


def world_from_opengl(track: Track) -> Iterable[np.ndarray]:
    """Camera-to-world (4, 4) with OpenGL's camera axes, for every camera."""
    return (inverse(pose) @ OPENCV_FROM_OPENGL for pose in poses_of(track))


def rate_of(track: Track) -> dict[str, float]:
    """The frame rate as a JSON field, if the track has one."""
    return {"fps": float(track.fps)} if track.fps else {}


def json_text(head: dict[str, Any], key: str, items: list[dict[str, Any]]) -> str:
    """JSON with a line per item, as a person would want to read it."""
    lines = ",\n".join("  " + json.dumps(item) for item in items)
    return json.dumps(head)[:-1] + f', "{key}": [\n{lines}\n]}}\n'
