"""Camera files: known values in every convention, and what is refused."""

from __future__ import annotations

import json
import math
import re
from fractions import Fraction
from pathlib import Path

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given, settings

from pipelines.errors import InputError
from pipelines.media.camera_files import Track, read_cameras
from render_refine.camera import Camera

HEIGHT, WIDTH = 80, 120
FOCAL = 60.0

# A camera at (1, 0, 0) that looks along +x, with the world's z as its "up": its right is -y.
RIGHT, UP, FORWARD = (0.0, -1.0, 0.0), (0.0, 0.0, 1.0), (1.0, 0.0, 0.0)
POSITION = (1.0, 0.0, 0.0)
# 2 ahead, 1 to the right, 0.5 up of it; it must land there:
POINT = torch.tensor([[3.0, -1.0, 0.5]], dtype=torch.float64)
PIXEL = (WIDTH / 2 + FOCAL * 1 / 2, HEIGHT / 2 - FOCAL * 0.5 / 2)


def columns(*axes: tuple[float, ...]) -> list[list[float]]:
    """A 4x4 camera-to-world matrix from its columns x, y, z and position."""
    return np.vstack([np.array(axes).T, [0, 0, 0, 1]]).tolist()


def minus(axis: tuple[float, ...]) -> tuple[float, ...]:
    return tuple(-x for x in axis)


OPENGL = columns(RIGHT, UP, minus(FORWARD), POSITION)
OPENCV = columns(RIGHT, minus(UP), FORWARD, POSITION)
# World-to-camera by hand: the rows are right, down, forward; t = -R @ position.
R_ROWS = (RIGHT, minus(UP), FORWARD)
T = tuple(-sum(r * p for r, p in zip(row, POSITION, strict=True)) for row in R_ROWS)
FOV_Y = 2 * math.degrees(math.atan(HEIGHT / 2 / FOCAL))


def re10k_line(time: int = 0, **changes: float) -> str:
    lens = {"fx": FOCAL / WIDTH, "fy": FOCAL / HEIGHT, "cx": 0.5, "cy": 0.5, "k1": 0.0, "k2": 0.0} | changes
    rows = [x for row, t in zip(R_ROWS, T, strict=True) for x in (*row, t)]
    return " ".join(str(x) for x in (time, *lens.values(), *rows))


def transforms(**changes) -> dict:
    frame = {"file_path": "images/0001.png", "transform_matrix": OPENGL}
    lens = {"fl_x": 2 * FOCAL, "fl_y": 2 * FOCAL, "cx": WIDTH, "cy": HEIGHT, "w": 2 * WIDTH, "h": 2 * HEIGHT}
    return {**lens, "frames": [frame], **changes}


def camera_path(**changes) -> dict:
    frame = {"camera_to_world": np.array(OPENGL).flatten().tolist(), "fov": FOV_Y, "aspect": WIDTH / HEIGHT}
    size = {"render_height": 10 * HEIGHT, "render_width": 10 * WIDTH}
    return {"camera_type": "perspective", **size, "fps": 24, "camera_path": [frame], **changes}


def plain(**changes) -> dict:
    return {"convention": "opencv", "cameras": [{"fov_deg": FOV_Y, "matrix": OPENCV}], **changes}


def write_json(path: Path, values: dict) -> Path:
    path.write_text(json.dumps(values))
    return path


# The rotation with the rows right, down, forward as a quaternion w, x, y, z: 120 degrees about (1, -1, 1).
COLMAP_IMAGE = "1 0.5 0.5 -0.5 0.5 {} {} {} 1 a b.png".format(*T)


def write_model(folder: Path, cameras: str, images: str) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "cameras.txt").write_text(cameras)
    (folder / "images.txt").write_text(images)
    return folder


COLMAP_CAMERA = f"1 PINHOLE {WIDTH} {HEIGHT} {FOCAL} {FOCAL} {WIDTH / 2} {HEIGHT / 2}\n"


def write_known(folder: Path) -> list[Path]:
    """The known camera in every format and dialect."""
    angle = 2 * math.atan(WIDTH / 2 / FOCAL)
    blender = {"camera_angle_x": angle, "frames": [{"file_path": "./train/r_0", "transform_matrix": OPENGL}]}
    pixels = {"fx": 2 * FOCAL, "fy": 2 * FOCAL, "cx": WIDTH, "cy": HEIGHT, "matrix": OPENCV}
    own = transforms(fl_x=1.0, w=7)
    own["frames"][0] |= {"fl_x": FOCAL, "fl_y": FOCAL, "cx": WIDTH / 2, "cy": HEIGHT / 2, "w": WIDTH, "h": HEIGHT}
    gl = [{"fov_deg": FOV_Y, "matrix": np.array(OPENGL).flatten().tolist()}]
    texts = {
        "url.txt": f"https://www.youtube.com/watch?v=x\n{re10k_line()}\n",
        "bare.txt": re10k_line(),
    }
    for name, text in texts.items():
        (folder / name).write_text(text)
    tables = {
        "transforms.json": transforms(),
        "per_frame.json": own,
        "blender.json": blender,
        "camera_path.json": camera_path(),
        "plain.json": plain(),
        "shared.json": plain(fov_deg=FOV_Y, cameras=[{"matrix": OPENCV}]),
        "opengl.json": plain(convention="opengl", cameras=gl),
        "blender_axes.json": plain(convention="blender", cameras=gl),
        "pixels.json": plain(width=2 * WIDTH, height=2 * HEIGHT, cameras=[pixels]),
    }
    for name, table in tables.items():
        write_json(folder / name, table)
    centre = f"{WIDTH / 2} {HEIGHT / 2}"
    lenses = {
        "pinhole": COLMAP_CAMERA,
        "simple": f"# list\n1 SIMPLE_PINHOLE {WIDTH} {HEIGHT} {FOCAL} {centre}\n",
        "radial": f"1 SIMPLE_RADIAL {WIDTH} {HEIGHT} {FOCAL} {centre} 0\n",
        "opencv": f"1 OPENCV {2 * WIDTH} {2 * HEIGHT} {2 * FOCAL} {2 * FOCAL} {WIDTH} {HEIGHT} 0 0 0 0\n",
    }
    for name, line in lenses.items():
        write_model(folder / name, line, f"# list\n{COLMAP_IMAGE}\n1.0 2.0 -1\n")
    return [*(folder / name for name in (*texts, *tables, *lenses))]


def test_a_known_camera_sees_a_known_point_where_it_must_in_every_format(tmp_path):
    for path in write_known(tmp_path):
        track = read_cameras(path, HEIGHT, WIDTH)
        (camera,) = track.cameras
        uv, z = camera.project(POINT)
        np.testing.assert_allclose(uv[0], PIXEL, atol=1e-6, err_msg=path.name)
        np.testing.assert_allclose(z, [2.0], atol=1e-9, err_msg=path.name)
        np.testing.assert_allclose(camera.centre, POSITION, atol=1e-9, err_msg=path.name)
        # Half the size, half the pixel.
        uv, _ = read_cameras(path, HEIGHT // 2, WIDTH // 2).cameras[0].project(POINT)
        np.testing.assert_allclose(uv[0], np.array(PIXEL) / 2, atol=1e-6, err_msg=path.name)
    assert read_cameras(tmp_path / "pinhole", HEIGHT, WIDTH).names == ["a b.png"]
    assert read_cameras(tmp_path / "transforms.json", HEIGHT, WIDTH).names == ["images/0001.png"]
    assert read_cameras(tmp_path / "camera_path.json", HEIGHT, WIDTH).fps == 24


def test_frames_come_in_the_natural_order_of_their_names(tmp_path):
    def frame(name: str, x: float) -> dict:
        return {"file_path": name, "transform_matrix": columns(RIGHT, UP, minus(FORWARD), (x, 0, 0))}

    table = transforms(frames=[frame("images/10.png", 10), frame("images/9.png", 9), frame("images/1.png", 1)])
    track = read_cameras(write_json(tmp_path / "transforms.json", table), HEIGHT, WIDTH)
    assert track.names == ["images/1.png", "images/9.png", "images/10.png"]
    assert [round(float(camera.centre[0])) for camera in track.cameras] == [1, 9, 10]

    images = "".join(f"{n} 1 0 0 0 {-n} 0 0 1 {n}.png\n\n" for n in (10, 9, 1))
    track = read_cameras(write_model(tmp_path / "model", COLMAP_CAMERA, images), HEIGHT, WIDTH)
    assert track.names == ["1.png", "9.png", "10.png"]
    assert [float(camera.centre[0]) for camera in track.cameras] == [1, 9, 10]


def test_frame_rates_of_timestamps(tmp_path):
    def rate(times: list[float]) -> Fraction | None:
        path = tmp_path / "cameras.txt"
        path.write_text("\n".join(re10k_line(time) for time in times))
        return read_cameras(path, HEIGHT, WIDTH).fps

    assert rate([157323991, 157490824, 157657658, 157824491]) == Fraction(6000, 1001)  # every fifth of 29.97
    assert rate([0, 41667, 83333, 125000]) == 24
    assert rate([0, 1, 2]) is None  # counts, not times
    assert rate([0, 40000, 40000]) is None
    assert rate([0]) is None


# What is refused.


def message(path: Path, height: int = HEIGHT, width: int = WIDTH) -> str:
    with pytest.raises(InputError) as caught:
        read_cameras(path, height, width)
    text = str(caught.value)
    assert "\n" not in text and str(path) in text and len(text) < 400
    return text


def test_wrong_text_files_are_named_with_their_line(tmp_path):
    def refused(*lines: str) -> str:
        path = tmp_path / "cameras.txt"
        path.write_text("\n".join(lines))
        return message(path)

    good = re10k_line()
    words = good.split()
    assert "line 3: found 18 numbers, expected 19" in refused("https://x", good, " ".join(words[:-1]))
    assert "line 2: found 12 numbers" in refused(good, " ".join(words[:12]))  # a KITTI pose
    assert "line 1: found 'nan', expected a finite number" in refused(good.replace("-1.0", "nan", 1))
    assert "line 1: found 'x', expected a number" in refused(good.replace("-1.0", "x", 1))
    assert "line 2: found lens distortion (k1 = 0.1)" in refused(good, re10k_line(k1=0.1))
    assert "focal lengths of 500" in refused(re10k_line(fx=500, fy=500))  # pixels, not shares
    assert "focal length" in refused(re10k_line(fy=-0.5))
    assert "line 1: the matrix is no rotation" in refused(good.replace(" 1.0", " 1.1"))
    assert "mirrors" in refused(good.replace("-1.0", "1.0", 1))
    assert "there are no cameras" in refused("https://x")
    assert "empty" in refused("")
    (tmp_path / "binary.txt").write_bytes(b"\xff\xfe\x00")
    assert "not text" in message(tmp_path / "binary.txt")
    (tmp_path / "cameras.csv").write_text(good)
    assert "expected a camera file" in message(tmp_path / "cameras.csv")
    assert "no such file" in message(tmp_path / "missing.txt")
    assert "no such file" in message(tmp_path / "missing")


def frame(**changes) -> list[dict]:
    return [{"file_path": "a.png", "transform_matrix": OPENGL, **changes}]


SCALED = [*(2 * np.array(OPENGL)).tolist()[:3], [0, 0, 0, 1]]
BAD_TABLES = {
    "no list of cameras": {"poses": []},
    "found a list, expected an object": [1],
    'found an empty list for "frames"': transforms(frames=[]),
    'found an object for "frames"': transforms(frames={}),
    "frame 0: found a number, expected an object": transforms(frames=[3]),
    'frame 0: found nothing for "transform_matrix"': transforms(frames=[{"file_path": "a"}]),
    "found 15 numbers": transforms(frames=frame(transform_matrix=[1.0] * 15)),
    "expected a number": transforms(frames=frame(transform_matrix=["1"] * 16)),
    "not finite": transforms(frames=frame(transform_matrix=[[math.nan] * 4] * 4)),
    "columns have the lengths 2, 2, 2": transforms(frames=frame(transform_matrix=SCALED)),
    "expected (0, 0, 0, 1)": transforms(frames=frame(transform_matrix=np.array(OPENGL).T.tolist())),
    'frame 1: found nothing for "file_path"': transforms(frames=[*frame(), {"transform_matrix": OPENGL}]),
    "camera model 'OPENCV_FISHEYE'": transforms(camera_model="OPENCV_FISHEYE"),
    "lens distortion (p1 = 0.5)": transforms(p1=0.5),
    "their aspects differ": transforms(w=WIDTH),
    'without "w" and "h"': transforms(w=None, h=None),
    "whole pixels": transforms(w=99.5),
    'neither "fl_x" nor "camera_angle_x"': {"frames": frame()},
    "field of view of 229.183 degrees": {"camera_angle_x": 4, "frames": frame()},
    "found true or false": transforms(fl_x=True),
    'there is no "h"': transforms(h=None),
    'for "fps"': transforms(fps=-1),
    "camera type 'fisheye', expected \"perspective\"": camera_path(camera_type="fisheye"),
    "the frames have 80x120": camera_path(render_width=900),
    'there is no "fov"': camera_path(camera_path=[{"camera_to_world": OPENGL}]),
    'an empty list for "camera_path"': camera_path(camera_path=[]),
    'found nothing for "convention"': {"cameras": [{"matrix": OPENCV}]},
    'found an empty list for "convention", expected text': plain(convention=[]),
    "found 'unreal' for \"convention\"": plain(convention="unreal"),
    'either "fov_deg" or "fx"': plain(cameras=[{"matrix": OPENCV}]),
    'found "fx" without "width"': plain(cameras=[{"fx": 1, "fy": 1, "cx": 1, "cy": 1, "matrix": OPENCV}]),
    'there is no "fy"': plain(cameras=[{"fx": 1, "matrix": OPENCV}], width=WIDTH, height=HEIGHT),
    "field of view of 0 degrees": plain(fov_deg=0, cameras=[{"matrix": OPENCV}]),
    'found text in "fov_deg"': plain(fov_deg="50", cameras=[{"matrix": OPENCV}]),
    'camera 1: found nothing for "name"': plain(
        fov_deg=50, cameras=[{"matrix": OPENCV, "name": "a"}, {"matrix": OPENCV}]
    ),
}


@pytest.mark.parametrize("part", BAD_TABLES)
def test_wrong_tables_are_named_with_their_frame(tmp_path, part):
    assert part in message(write_json(tmp_path / "cameras.json", BAD_TABLES[part]))


def test_what_is_no_json_is_said(tmp_path):
    path = tmp_path / "cameras.json"
    texts = ("{", "[" * 100_000, '{"frames": ' + "1" * 5000 + "}", "no")
    for text in texts:
        path.write_text(text)
        assert "not a JSON file" in message(path)
    huge = '{"convention": "opencv", "fov_deg": 1' + "0" * 400 + ', "cameras": [{"matrix": []}]}'
    path.write_text(huge)
    assert "not finite" in message(path)


def test_wrong_colmap_models_are_named_with_their_line(tmp_path):
    def refused(cameras: str = COLMAP_CAMERA, images: str = f"{COLMAP_IMAGE}\n\n") -> str:
        folder = write_model(tmp_path / "model", cameras, images)
        with pytest.raises(InputError) as caught:
            read_cameras(folder, HEIGHT, WIDTH)
        assert "\n" not in str(caught.value) and str(folder) in str(caught.value)
        return str(caught.value)

    assert "found lens distortion (k = 0.01)" in refused(
        f"1 SIMPLE_RADIAL {WIDTH} {HEIGHT} {FOCAL} {WIDTH / 2} {HEIGHT / 2} 0.01\n"
    )
    assert "cameras.txt: line 1: found the camera model FOV" in refused("1 FOV 120 80 60 60 60 40 1\n")
    assert "found 3 parameters, PINHOLE has 4" in refused("1 PINHOLE 120 80 60 60 40\n")
    assert "their aspects differ" in refused("1 SIMPLE_PINHOLE 80 120 60 40 60\n")
    assert "camera 1 for the second time" in refused(COLMAP_CAMERA * 2)
    assert "expected CAMERA_ID" in refused("1 PINHOLE\n")
    assert "which cameras.txt does not have" in refused("# nothing\n")
    assert "images.txt: line 1: found 9 words" in refused(images="1 1 0 0 0 0 0 0 1\n\n")
    assert "quaternion of length 2" in refused(images="1 2 0 0 0 0 0 0 1 a.png\n\n")
    assert "line 2: expected the points of the image before" in refused(images=f"{COLMAP_IMAGE}\n{COLMAP_IMAGE}\n")
    assert "for the second time" in refused(images=f"{COLMAP_IMAGE}\n\n" * 2)
    assert "no images" in refused(images="# nothing\n")
    assert "give its folder" in message(tmp_path / "model" / "images.txt")
    (tmp_path / "binary").mkdir()
    assert "without cameras.txt" in message(tmp_path / "binary")
    (tmp_path / "binary" / "images.bin").write_bytes(b"x")
    assert "binary COLMAP model" in message(tmp_path / "binary")


JUNK = ("", "0", "-1", "1e308", "1e-320", "nan", "null", '"x"', "[]", "{}", "[[1]]", "true", "\n", " ", "\0", "9" * 400)


@pytest.fixture(scope="module")
def known(tmp_path_factory) -> list[Path]:
    return write_known(tmp_path_factory.mktemp("known"))


@settings(max_examples=300, deadline=None)
@given(kind=st.integers(0, 14), start=st.integers(0, 10_000), junk=st.sampled_from(JUNK), word=st.booleans())
@pytest.mark.filterwarnings("ignore:overflow:RuntimeWarning")
def test_any_damage_gives_cameras_or_one_clear_line(known, kind, start, junk, word):
    path = known[kind]
    file = path / ("cameras.txt" if start % 2 else "images.txt") if path.is_dir() else path
    text = file.read_text()
    if word:  # one number or name goes
        words = list(re.finditer(r"[^\s,:\[\]{}]+", text))
        begin, end = words[start % len(words)].span()
    else:  # or a piece from anywhere
        begin = start % len(text)
        end = begin + start % 7
    file.write_text(text[:begin] + junk + text[end:])
    try:
        track = read_cameras(path, HEIGHT, WIDTH)
    except InputError as error:
        assert "\n" not in str(error) and str(path) in str(error)
    else:
        assert all(torch.isfinite(camera.cam_from_world).all() for camera in track.cameras)
        assert all(torch.isfinite(camera.K).all() for camera in track.cameras)
    finally:
        file.write_text(text)


def test_tracks_are_consistent():
    camera = Camera.from_fov(4, 6, 1.0)
    with pytest.raises(ValueError, match="at least one"):
        Track([])
    with pytest.raises(ValueError, match="one size"):
        Track([camera, Camera.from_fov(6, 4, 1.0)])
    with pytest.raises(ValueError, match="2 names for 1"):
        Track([camera], ["a", "b"])
    with pytest.raises(ValueError, match="batches"):
        Track([camera.at(torch.eye(4).expand(2, 4, 4))])
