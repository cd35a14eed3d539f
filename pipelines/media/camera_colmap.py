"""Cameras as COLMAP's text model keeps them: a folder with ``cameras.txt`` and ``images.txt``.

    cameras.txt:  CAMERA_ID MODEL WIDTH HEIGHT PARAMS[]
    images.txt:   IMAGE_ID QW QX QY QZ TX TY TZ CAMERA_ID NAME      and, in the next line, the image's 2D points

Pose is ``cam_from_world`` with OpenCV axes, the quaternion w first; pixel centres at +0.5: our own conventions.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from pipelines.errors import InputError
from pipelines.media.camera_track import (
    RIGID,
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
from pipelines.media.images import LARGEST_FILE, read_bytes, write_whole
from pipelines.media.sequences import natural_key

# Of each model: how many focal lengths it has (one for both axes, or two), and its distortion.
MODELS = {
    "SIMPLE_PINHOLE": (1, ()),
    "PINHOLE": (2, ()),
    "SIMPLE_RADIAL": (1, ("k",)),
    "RADIAL": (1, ("k1", "k2")),
    "OPENCV": (2, ("k1", "k2", "p1", "p2")),
    "FULL_OPENCV": (2, ("k1", "k2", "p1", "p2", "k3", "k4", "k5", "k6")),
}


def read_colmap(folder: Path, height: int, width: int) -> Track:
    """The cameras of all registered images, in the natural order of their names."""
    if not (folder / "images.txt").exists() and (folder / "images.bin").exists():
        convert = "colmap model_converter --output_type TXT"
        raise InputError(f"{folder}: found a binary COLMAP model, expected cameras.txt and images.txt: {convert}")
    for name in ("cameras.txt", "images.txt"):
        if not (folder / name).is_file():
            raise InputError(f"{folder}: found a folder without {name}, expected a COLMAP text model")
    lenses = read_lenses(folder / "cameras.txt", height, width)
    path = folder / "images.txt"
    found = {}
    lines = enumerate(lines_of(path), start=1)
    for count, line in lines:
        place = Place(str(path), f"line {count}")
        words = line.split(maxsplit=9)
        if not words or line.lstrip().startswith("#"):
            continue
        if len(words) != 10:
            place.refuse(f"found {len(words)} words, expected 10 (IMAGE_ID QW QX QY QZ TX TY TZ CAMERA_ID NAME)")
        name = words[9].strip()
        qw, qx, qy, qz, *translation = read_numbers(place, words[1:8])
        length = float(np.linalg.norm([qw, qx, qy, qz]))
        if not abs(length - 1) < RIGID:
            place.refuse(f"found a quaternion of length {length:g}, expected 1")
        if words[8] not in lenses:
            place.refuse(f"found camera {words[8][:40]}, which cameras.txt does not have")
        if name in found:
            place.refuse(f"found image {name} for the second time")
        matrix = np.column_stack([Rotation.from_quat([qx, qy, qz, qw]).as_matrix(), translation])
        found[name] = make_camera(lenses[words[8]], rigid(place, matrix), height, width)
        # The image's points: X Y POINT3D_ID for each. Any other line here means that the file has none of them,
        # and every second image would be lost.
        count, points = next(lines, (count + 1, ""))
        if len(points.split()) % 3:
            Place(str(path), f"line {count}").refuse("expected the points of the image before, or an empty line")
    if not found:
        raise InputError(f"{path}: there are no images in this file")
    names = sorted(found, key=natural_key)
    return Track([found[name] for name in names], names)


def read_lenses(path: Path, height: int, width: int) -> dict[str, np.ndarray]:
    """K (3, 3), for frames of the given size, of every camera in ``cameras.txt``, by its id."""
    lenses: dict[str, np.ndarray] = {}
    for count, line in enumerate(lines_of(path), start=1):
        place = Place(str(path), f"line {count}")
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        if len(words) < 4:
            place.refuse(f"found {len(words)} words, expected CAMERA_ID MODEL WIDTH HEIGHT PARAMS")
        identity, model, *rest = words
        if model not in MODELS:
            place.refuse(f"found the camera model {model[:40]}, expected one of {', '.join(MODELS)}")
        focals, distortion = MODELS[model]
        w, h, *parameters = read_numbers(place, rest)
        if min(w, h) < 1 or w % 1 or h % 1:
            place.refuse(f"found pictures of {h:g}x{w:g}, expected whole pixels")
        if len(parameters) != focals + 2 + len(distortion):
            place.refuse(f"found {len(parameters)} parameters, {model} has {focals + 2 + len(distortion)}")
        if identity in lenses:
            place.refuse(f"found camera {identity} for the second time")
        refuse_distortion(place, dict(zip(distortion, parameters[focals + 2 :], strict=True)))
        focal = (parameters[0], parameters[focals - 1])
        centre = parameters[focals : focals + 2]
        lenses[identity] = intrinsics(place, focal, centre, (int(h), int(w)), (height, width))
    return lenses


def lines_of(path: Path) -> list[str]:
    """The lines of a text file."""
    return read_text(str(path), read_bytes(path, "a COLMAP text model", LARGEST_FILE)).splitlines()


def write_colmap(folder: Path, track: Track) -> None:
    """Write the model without points; the folder is made. Images without names are called 000000.png and so on."""
    names = track.names or [f"{index:06d}.png" for index in range(len(track.cameras))]
    lenses: dict[tuple[float, ...], int] = {}
    images = []
    for index, (camera, pose, name) in enumerate(zip(track.cameras, poses_of(track), names, strict=True), start=1):
        lens = lenses.setdefault(lens_of(camera), len(lenses) + 1)
        x, y, z, w = Rotation.from_matrix(pose[:3, :3]).as_quat()
        numbers = " ".join(f"{number:.12g}" for number in (w, x, y, z, *pose[:3, 3]))
        images.append(f"{index} {numbers} {lens} {name}\n\n")
    size = f"{track.cameras[0].width} {track.cameras[0].height}"
    cameras = [f"{n} PINHOLE {size} " + " ".join(f"{x:.12g}" for x in lens) + "\n" for lens, n in lenses.items()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot write {folder}: {error.strerror or error}") from None
    # COLMAP opens points3D.txt too. images.txt comes last: without it the folder is not read.
    write_whole(folder / "points3D.txt", b"")
    write_whole(folder / "cameras.txt", "".join(cameras).encode())
    write_whole(folder / "images.txt", "".join(images).encode())
