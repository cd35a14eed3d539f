"""Camera paths from JSON, for whoever writes one by hand: keyframes, or waypoints.

::

    {
      "keyframes": [
        {"time": 0},
        {"time": 2, "position": [0.1, 0, 0], "yaw_deg": -3},
        {"time": 4, "position": [0, 0, 0.2], "fov_deg": 50, "easing": "smooth"},
        {"time": 6}
      ]
    }

The photo is taken from position 0, 0, 0 with all angles 0. ``position`` is x right, y down, z forward; one unit is the
depth of the photo's nearest tenth. Positive ``yaw_deg`` looks right, ``pitch_deg`` up, ``roll_deg`` turns the camera
clockwise. ``fov_deg`` is the field of view along the picture's longer side. ``time`` is in seconds and increases.
What is left out is as in the photo.

``easing`` says how the camera goes on from a keyframe: ``spline`` (the default) passes through without stopping,
``linear`` goes straight at constant speed, ``smooth`` starts and stops gently, ``in`` and ``out`` do one of the two.

Waypoints are positions alone::

    {"waypoints": [[0.2, 0, 1], [-0.3, -0.1, 2], [0, -0.2, 4]]}

The camera leaves the photo's place, passes them smoothly at constant speed, and looks along its way with the horizon
level. A path that ends at 0, 0, 0 is closed.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from pipelines.errors import InputError
from pipelines.media.camera_json import Fields, finite, kind
from pipelines.media.camera_track import Place, read_text
from pipelines.media.images import read_bytes
from render_refine.keyframes import EASINGS, SPLINE, CameraPath, Keyframe, keyframe_path
from render_refine.waypoints import waypoint_path

LARGEST_FILE = 16 * 2**20  # bytes
MOST_WAYPOINTS = 10_000
LARGEST_NUMBER = 1e6  # scene units, degrees, seconds
NAMES = {"time", "position", "yaw_deg", "pitch_deg", "roll_deg", "fov_deg", "easing"}


def is_keyframes(path: Path) -> bool:
    """Whether a file is JSON with keyframes or waypoints, and not a camera file, which may hold some besides."""
    if path.suffix.lower() != ".json" or not path.is_file():
        return False
    try:
        values = load(path)
    except InputError:
        return False  # its reader will say what is wrong with it
    camera_file = {"camera_path", "frames", "cameras"}
    return isinstance(values, dict) and bool({"keyframes", "waypoints"} & set(values)) and not camera_file & set(values)


def read_path(path: Path, fov: float, scale: float = 1.0) -> tuple[CameraPath, float | None]:
    """Read keyframes or waypoints, ``fov`` [radians] being the photo's field of view.

    Returns:
        the path, its positions multiplied by ``scale``, and the seconds that it lasts, which waypoints do not say.

    Raises:
        InputError: see `read_keyframes` and `read_waypoints`.
    """
    values = load(path)
    if isinstance(values, dict) and "waypoints" in values:
        points = read_waypoints(path)
        return waypoint_path([(scale * x, scale * y, scale * z) for x, y, z in points], fov), None
    keys = read_keyframes(path, fov)
    return keyframe_path([key.scaled(scale) for key in keys]), keys[-1].time - keys[0].time


def read_waypoints(path: Path | str) -> list[tuple[float, float, float]]:
    """Read waypoints.

    Raises:
        InputError: missing, no JSON, no waypoints, other names beside them, numbers out of range, the same place twice
            in a row, or at the beginning the place of the photo alone; the message names the file and the waypoint.
    """
    path = Path(path)
    fields = only(Fields(Place(str(path)), load(path)), "waypoints")
    values = fields.values.get("waypoints")
    if not isinstance(values, list) or not values:
        found = "an empty list" if values == [] else kind(values)
        fields.place.refuse(f'found {found} for "waypoints", expected a list of [x, y, z]')
    if len(values) > MOST_WAYPOINTS:
        fields.place.refuse(f"found {len(values):,} waypoints, expected at most {MOST_WAYPOINTS:,}")
    points = [place_of(Place(str(path), f"waypoint {index}"), value) for index, value in enumerate(values)]
    last = None
    for index, point in enumerate(points):
        if point == last:
            Place(str(path), f"waypoint {index}").refuse("it is the place before, expected another one")
        last = point
    if points == [(0.0, 0.0, 0.0)]:
        fields.place.refuse("found the photo's own place alone, expected somewhere to go")
    return points


def read_keyframes(path: Path | str, fov: float) -> list[Keyframe]:
    """Read keyframes, ``fov`` [radians] being the photo's field of view.

    Raises:
        InputError: missing, no JSON, no keyframes, unknown names, numbers out of range, times that do not increase;
            the message names the file and the keyframe.
    """
    path = Path(path)
    fields = only(Fields(Place(str(path)), load(path)), "keyframes")
    keys = [read_keyframe(item, fov) for item in fields.each("keyframes", "keyframe")]
    for index in range(1, len(keys)):
        if keys[index].time <= keys[index - 1].time:
            found = f"{keys[index].time:g} after {keys[index - 1].time:g}"
            Place(str(path), f"keyframe {index}").refuse(f'found the "time" {found}, expected times that increase')
    return keys


def only(fields: Fields, name: str) -> Fields:
    """The fields, if there is but one of that name."""
    if unknown := sorted(fields.values.keys() - {name}):
        fields.place.refuse(f'found "{unknown[0][:40]}", expected "{name}" only')
    return fields


def read_keyframe(item: Fields, fov: float) -> Keyframe:
    """One object of the list."""
    if unknown := sorted(item.values.keys() - NAMES):
        item.place.refuse(f'found "{unknown[0][:40]}", expected some of {", ".join(sorted(NAMES))}')
    easing = item.text("easing") if "easing" in item else SPLINE
    if easing not in (*EASINGS, SPLINE):
        item.place.refuse(f"found the easing {easing[:40]!r}, expected one of {', '.join((SPLINE, *EASINGS))}")
    fov_deg = item.number("fov_deg", math.degrees(fov))
    if not 1 <= fov_deg <= 170:
        item.place.refuse(f'found {fov_deg:g} for "fov_deg", expected 1 to 170')
    yaw, pitch, roll = (math.radians(bounded(item, f"{name}_deg", 0.0)) for name in ("yaw", "pitch", "roll"))
    lens = math.radians(fov_deg) if "fov_deg" in item else fov
    place = place_of(item.place, item.values.get("position", [0, 0, 0]))
    return Keyframe(bounded(item, "time"), place, lens, yaw, pitch, roll, easing)


def bounded(item: Fields, key: str, default: float | None = None) -> float:
    """A number of reasonable size."""
    number = item.number(key, default)
    if abs(number) > LARGEST_NUMBER:
        item.place.refuse(f'found {number:g} for "{key}", expected at most {LARGEST_NUMBER:g}')
    return number


def place_of(place: Place, value: Any) -> tuple[float, float, float]:
    """Three numbers."""
    if not isinstance(value, list) or len(value) != 3:
        found = f"{len(value)} numbers" if isinstance(value, list) else kind(value)
        place.refuse(f'found {found} for "position", expected [x, y, z]')
    x, y, z = (finite(place, number, '"position"') for number in value)
    if max(abs(x), abs(y), abs(z)) > LARGEST_NUMBER:
        place.refuse(f'found {value} for "position", expected at most {LARGEST_NUMBER:g}')
    return x, y, z


def load(path: Path) -> Any:
    """The values of a JSON file."""
    data = read_bytes(path, "a JSON file with keyframes", LARGEST_FILE)
    try:
        return json.loads(read_text(str(path), data))
    except (ValueError, RecursionError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path}: not a JSON file that can be read ({error})") from None
