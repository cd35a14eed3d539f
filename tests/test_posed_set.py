"""Folders of frames with known cameras: each layout, crops, distortion, training pairs, bad input, real clips."""

from __future__ import annotations

import json
import math
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from pipelines.errors import InputError
from pipelines.media.camera_files import Track, write_cameras
from pipelines.media.images import to_pixels, write_png
from pipelines.training.posed_set import PosedClip, posed_clips
from render_refine.camera import Camera, pose_from

HEIGHT, WIDTH, FRAMES = 36, 64, 4  # 16:9, so that square pixels tell the full frame's aspect
STEP = 166_833  # microseconds
POINT = torch.tensor([[0.3, -0.2, 4.0]], dtype=torch.float64)


def cameras(height: int = HEIGHT, width: int = WIDTH) -> list[Camera]:
    """Cameras far from the origin, each a step further and turned a little."""
    places = [torch.tensor([100 + 0.1 * k, 3.0, 0.2 * k], dtype=torch.float64) for k in range(FRAMES)]
    return [Camera.from_fov(height, width, 1.0, pose_from(p, yaw=0.02 * k)) for k, p in enumerate(places)]


def write_frames(folder: Path, names: list[str], height: int = HEIGHT, width: int = WIDTH) -> None:
    """Frame k has the grey level 10 k."""
    folder.mkdir(parents=True, exist_ok=True)
    for k, name in enumerate(names):
        write_png(folder / name, torch.full((3, height, width), 10 * k, dtype=torch.uint8))


def write_clip(folder: Path, layout: str) -> None:
    folder.mkdir(parents=True)
    numbered = [f"{k:04d}.png" for k in range(FRAMES)]
    if layout == "times":
        # Names that sort wrongly as text, 7 ms beside the cameras' times.
        write_cameras(folder / "clip.txt", Track(cameras()))
        lines = (folder / "clip.txt").read_text().splitlines()
        timed = [f"{900_000 + k * STEP} {line.split(maxsplit=1)[1]}" for k, line in enumerate(lines)]
        (folder / "clip.txt").write_text("\n".join(["https://example.org/film", *timed]))
        write_frames(folder, [f"{900_000 + k * STEP + 7_000}.png" for k in range(FRAMES)])
    elif layout == "numbers":
        write_cameras(folder / "cameras.txt", Track(cameras()))
        write_frames(folder / "images", numbered)
    elif layout == "colmap":
        write_cameras(folder / "sparse" / "0", Track(cameras(), numbered))
        write_frames(folder / "images", numbered)
    else:
        write_cameras(folder / "transforms.json", Track(cameras(), [f"images/{k:04d}" for k in range(FRAMES)]))
        write_frames(folder / "images", numbered)


LAYOUTS = ("times", "numbers", "colmap", "transforms")


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_frames_and_cameras(tmp_path, layout):
    write_clip(tmp_path / "clip", layout)
    clip = PosedClip.read(tmp_path / "clip", 18)
    assert clip.rgb.shape == (FRAMES, 3, 18, 32) and len(clip) == FRAMES
    assert clip.rgb[:, 0, 9, 16].tolist() == [0, 10, 20, 30]
    assert float(clip.frame(3).max()) == pytest.approx(30 / 255)
    # The world is the first camera's; the same point has the same image, at half the size.
    true = cameras()
    seen_from_first = true[0].cam_from_world @ torch.cat([POINT + true[0].centre, torch.ones(1, 1)], dim=1)[0].double()
    for read, wrote in zip(clip.cameras, true, strict=True):
        uv, z = read.project(seen_from_first[None, :3].float())
        wanted, depth = wrote.project(POINT + true[0].centre)
        assert torch.allclose(2 * uv.double(), wanted, atol=1e-3) and torch.allclose(z.double(), depth, atol=1e-5)


def test_frames_cut_from_the_middle_of_a_wider_or_taller_film(tmp_path):
    for name, (height, width) in {"lower": (35, 64), "narrower": (36, 62)}.items():
        folder = tmp_path / name
        folder.mkdir()
        write_cameras(folder / "cameras.txt", Track(cameras()))
        write_frames(folder / "images", [f"{k}.png" for k in range(FRAMES)], height, width)
        clip = PosedClip.read(folder, height)
        full, cut = cameras()[0], clip.cameras[0]
        top, left = (HEIGHT - height) / 2, (WIDTH - width) / 2
        uv, _ = full.project(POINT + full.centre)
        found, _ = cut.project(POINT.float())
        assert torch.allclose(found.double(), uv - torch.tensor([left, top]), atol=1e-4), name


def test_distortion_of_a_transforms_file_is_taken_out(tmp_path):
    height, width, k1 = 90, 160, 0.4
    lens = cameras(height, width)[0]
    focal, cx, cy = float(lens.K[0, 0]), width / 2, height / 2
    x, y = 0.35, -0.2  # where a dot is seen through an ideal lens; the real one shifts it by several pixels
    stretch = 1 + k1 * (x * x + y * y)
    distorted = (cx + focal * x * stretch, cy + focal * y * stretch)
    v, u = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    dot = torch.exp(-((u - distorted[0]) ** 2 + (v - distorted[1]) ** 2) / (2 * 2.0**2))
    write_png(tmp_path / "0.png", dot.expand(3, -1, -1))
    values = {"w": width, "h": height, "fl_x": focal, "fl_y": focal, "cx": cx, "cy": cy, "k1": k1, "k2": 0.0}
    frame = {"file_path": "./0.png", "transform_matrix": torch.eye(4).tolist()}
    (tmp_path / "transforms.json").write_text(json.dumps({**values, "frames": [frame]}))
    clip = PosedClip.read(tmp_path, height)
    seen = clip.frame(0)[0]
    middle = [float((seen * axis).sum() / seen.sum()) for axis in (u, v)]
    assert math.dist(middle, distorted) > 3
    assert math.dist(middle, (cx + focal * x, cy + focal * y)) < 0.15


def test_clips_are_found_below_a_folder(tmp_path):
    for layout in LAYOUTS:
        write_clip(tmp_path / "set" / layout, layout)
    (tmp_path / "set" / "kitti").mkdir()
    (tmp_path / "set" / "kitti" / "poses.txt").write_text("1 0 0 0 0 1 0 0 0 0 1 0\n")
    found = posed_clips(tmp_path / "set")
    assert [path.name for path in found] == sorted(LAYOUTS)
    assert posed_clips(found[0]) == [found[0]]


# Bad input


def spoil(folder: Path, layout: str, how: str) -> None:
    write_clip(folder, layout)
    text = next(folder.glob("*.txt"), folder)
    if how == "a frame is missing":
        sorted(folder.rglob("*.png"))[1].unlink()
    elif how == "no frames":
        for path in folder.rglob("*.png"):
            path.unlink()
    elif how == "another size":
        write_frames(folder / "images", ["0000.png"], HEIGHT, WIDTH + 2)
    elif how == "squeezed":
        write_frames(folder / "images", [f"{k:04d}.png" for k in range(FRAMES)], HEIGHT, HEIGHT)
    elif how == "no numbers":
        write_frames(folder / "images", ["front.png"])
    elif how == "no cameras":
        text.unlink()
    elif how == "a wrong number":
        text.write_text(text.read_text().replace("0.5", "half", 1))
    elif how == "no names":
        (folder / "transforms.json").write_text('{"frames": [{}]}')
    elif how == "a lens of text":
        values = json.loads((folder / "transforms.json").read_text())
        (folder / "transforms.json").write_text(json.dumps({**values, "k1": "a"}))
    elif how == "several lenses":
        values = json.loads((folder / "transforms.json").read_text())
        values["k1"], values["frames"][1]["fl_x"] = 0.1, 70.0
        (folder / "transforms.json").write_text(json.dumps(values))
    elif how == "no images":
        (folder / "sparse/0/images.txt").write_text("# nothing\n")


@pytest.mark.parametrize(
    ("layout", "how", "said"),
    [
        ("times", "a frame is missing", "no frame within 8 ms"),
        ("numbers", "a frame is missing", "the frame nearest to two cameras"),
        ("colmap", "a frame is missing", "0001.png, which is not in"),
        ("transforms", "a frame is missing", "images/0001, which is not in"),
        ("numbers", "no frames", "no frames beside it"),
        ("numbers", "another size", "the first has"),
        ("numbers", "squeezed", "cropped or squeezed cannot be told"),
        ("numbers", "no numbers", "named by its number"),
        ("numbers", "no cameras", "found no cameras"),
        ("numbers", "a wrong number", "expected a number"),
        ("transforms", "no names", "file_path"),
        ("transforms", "a lens of text", 'expected a number for "k1"'),
        ("transforms", "several lenses", "several lenses"),
        ("colmap", "no images", "there are no images"),
    ],
)
def test_bad_input(tmp_path, layout, how, said):
    spoil(tmp_path / "clip", layout, how)
    with pytest.raises(InputError, match=said) as error:
        PosedClip.read(tmp_path / "clip", 18)
    assert str(tmp_path) in str(error.value) and "\n" not in str(error.value)


def test_a_folder_without_clips(tmp_path):
    with pytest.raises(InputError, match="no such folder"):
        posed_clips(tmp_path / "nowhere")
    with pytest.raises(InputError, match="no frames with cameras"):
        posed_clips(tmp_path)


# Real clips


def epipolar_error(clip: PosedClip, a: int, b: int) -> float:
    """Median distance in pixels of SIFT matches from the epipolar lines that the cameras draw."""
    sift = cv2.SIFT.create()
    grey = [cv2.cvtColor(to_pixels(clip.rgb[k]), cv2.COLOR_RGB2GRAY) for k in (a, b)]
    (left, first), (right, second) = (sift.detectAndCompute(image, None) for image in grey)
    matches = cv2.BFMatcher(crossCheck=True).match(first, second)
    best = sorted(matches, key=lambda match: match.distance)[: len(matches) // 2]
    p, q = (
        np.array([[*pt, 1.0] for pt in points])
        for points in (
            [left[m.queryIdx].pt for m in best],
            [right[m.trainIdx].pt for m in best],
        )
    )
    p[:, :2] += 0.5  # OpenCV counts from the middle of the first pixel
    q[:, :2] += 0.5
    move = (clip.cameras[b].cam_from_world @ clip.cameras[a].world_from_cam).double().numpy()
    t = move[:3, 3]
    cross = np.array([[0, -t[2], t[1]], [t[2], 0, -t[0]], [-t[1], t[0], 0]])
    Ka, Kb = (np.linalg.inv(clip.cameras[k].K.double().numpy()) for k in (a, b))
    lines = p @ (Kb.T @ cross @ move[:3, :3] @ Ka).T
    return float(np.median(np.abs((lines * q).sum(axis=1)) / np.linalg.norm(lines[:, :2], axis=1)))


def test_real_cameras_agree_with_their_pictures(data_dir):
    folder = data_dir / "posed"
    if not folder.is_dir():
        pytest.skip(f"no posed clips in {data_dir}")
    clips = [*posed_clips(folder / "re10k_clips")[:3], folder / "fox"]
    for path in clips:
        clip = PosedClip.read(path, 256)
        assert epipolar_error(clip, 0, 2) < 0.5, path.name
        assert min(clip.rgb.shape[-2:]) == 256
