"""Camera tracks in and out, from engines, from structure from motion, and from data sets.

| name                             | format                          | matrix in the file, axes           |
| -------------------------------- | ------------------------------- | ---------------------------------- |
| `cameras.txt`                    | RealEstate10K, ACID             | world-to-camera, OpenCV            |
| `transforms.json`                | nerfstudio, instant-ngp, NeRF   | camera-to-world, OpenGL            |
| `camera_path.json`               | nerfstudio's viewer             | camera-to-world, OpenGL            |
| any other `.json`                | ours, see `camera_json.py`      | camera-to-world, OpenCV or OpenGL  |
| a folder                         | COLMAP's text model             | world-to-camera, OpenCV            |

Reading goes by what is in a JSON file, writing by its name. Here, and nowhere else, the conventions change into
those of `docs/conventions.md`. Only pinhole cameras are read: distortion other than zero is refused.
"""

from __future__ import annotations

from pathlib import Path

from pipelines.errors import InputError
from pipelines.media.camera_colmap import read_colmap, write_colmap
from pipelines.media.camera_json import read_json, write_path, write_plain, write_transforms
from pipelines.media.camera_re10k import read_re10k, write_re10k
from pipelines.media.camera_track import Track
from pipelines.media.images import LARGEST_FILE, read_bytes, write_whole

__all__ = ["Track", "read_cameras", "write_cameras"]

WANTED = "a camera file: .txt (RealEstate10K), .json, or a folder with COLMAP's cameras.txt and images.txt"
READERS = {".txt": read_re10k, ".json": read_json}


def read_cameras(path: Path | str, height: int, width: int) -> Track:
    """Read a track for frames of ``height`` x ``width`` pixels.

    Intrinsics that the file gives for another size are scaled; the aspect must agree within 1 %. (RealEstate10K
    gives them for any size.) Positions keep the file's unit and origin.

    Raises:
        InputError: missing, another format, wrong or missing numbers, matrices that are no rotations, distortion,
            another aspect; the message names the file and the line or frame.
    """
    path = Path(path)
    if path.is_dir():
        return read_colmap(path, height, width)
    suffix = path.suffix.lower()
    if path.exists() and suffix not in READERS:
        raise InputError(f"{path}: expected {WANTED}")
    if path.suffix == ".txt" and all((path.parent / name).is_file() for name in ("cameras.txt", "images.txt")):
        raise InputError(f"{path}: this file is a part of a COLMAP model; give its folder")
    data = read_bytes(path, WANTED, LARGEST_FILE)
    return READERS[suffix](path, data, height, width)


def write_cameras(path: Path | str, track: Track) -> None:
    """Write a track in the format that the name asks for; what stood there is replaced.

    ``.txt``: RealEstate10K. ``.json``: nerfstudio's when the name begins with ``transforms`` or ``camera_path``,
    else the plain format. No suffix: a folder with COLMAP's text model. A file appears whole.

    Raises:
        InputError: another suffix, a file that cannot be written, or cameras that the format cannot hold.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix == "" and not path.is_file():
        write_colmap(path, track)
    elif suffix == ".txt":
        write_whole(path, write_re10k(track).encode())
    elif suffix == ".json" and path.name.startswith("transforms"):
        write_whole(path, write_transforms(track).encode())
    elif suffix == ".json" and path.name.startswith("camera_path"):
        write_whole(path, write_path(path, track).encode())
    elif suffix == ".json":
        write_whole(path, write_plain(track).encode())
    else:
        raise InputError(f"cannot write {path}: expected a name ending in .txt or .json, or a folder")
