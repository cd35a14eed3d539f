"""The command, as a person uses it: label maps of several kinds in, footage out, and bad input."""

from __future__ import annotations

import json
from fractions import Fraction

import cv2
import numpy as np
import pytest
import torch

from pipelines.cli import main
from pipelines.footage import FootagePipeline
from pipelines.media.images import read_image, write_png
from pipelines.media.label_video import open_label_sink, open_labels
from pipelines.media.video import read_rate, read_video_frames
from pipelines.worlds import Street
from vid2vid.classes import CLASSES
from vid2vid.footage import Shot

HEIGHT, WIDTH, FRAMES = 48, 80, 5


def run(*words):
    return main(["footage", *map(str, words)])


def street(k: int) -> np.ndarray:
    """A road before houses and sky, in ids of ours, with a car that drives to the right."""
    labels = np.full((HEIGHT, WIDTH), CLASSES.index("building"), np.uint8)
    labels[:12] = CLASSES.index("sky")
    labels[30:] = CLASSES.index("road")
    labels[26:34, 6 * k : 6 * k + 14] = CLASSES.index("car")
    return labels


@pytest.fixture(scope="module")
def labels(tmp_path_factory):
    folder = tmp_path_factory.mktemp("labels")
    with open_label_sink(folder / "%03d.png", Fraction(24), HEIGHT, WIDTH) as sink:
        for k in range(FRAMES):
            sink.write(torch.from_numpy(street(k)).long())
    return folder


@pytest.fixture(scope="module")
def geometry(tmp_path_factory):
    """Depth in millimetres, and a camera that goes forward half a metre a frame."""
    folder = tmp_path_factory.mktemp("geometry")
    (folder / "depth").mkdir()
    depth = np.full((HEIGHT, WIDTH), 20000, np.uint16)
    depth[:12] = 0
    depth[30:] = (40000 / np.arange(2, 20)[:, None]).clip(0, 20000)
    cameras = []
    for k in range(FRAMES):
        cv2.imwrite(str(folder / f"depth/{k:03d}.png"), depth)
        matrix = np.eye(4)
        matrix[2, 3] = 0.5 * k
        cameras.append({"matrix": matrix.tolist(), "fov_deg": 50})
    camera_file = {"convention": "opencv", "width": WIDTH, "height": HEIGHT, "cameras": cameras}
    (folder / "cameras.json").write_text(json.dumps(camera_file))
    return folder


def test_labels_become_a_video_of_the_same_length_and_size(tmp_path, labels):
    assert run(labels, "-o", tmp_path / "a.mp4", "--fps", "30000/1001") == 0
    frames = list(read_video_frames(tmp_path / "a.mp4"))
    assert len(frames) == FRAMES and frames[0].shape == (3, HEIGHT, WIDTH)
    assert read_rate(tmp_path / "a.mp4") == Fraction(30000, 1001)


def test_depth_and_cameras_are_used(tmp_path, labels, geometry, capsys):
    known = ["--depth", geometry / "depth", "--cameras", geometry / "cameras.json"]
    assert run(labels, "-o", tmp_path / "g/%d.png", *known) == 0
    assert run(labels, "-o", tmp_path / "n/%d.png", *known, "--no-guidance") == 0
    guided, plain = (read_image(tmp_path / name / f"{FRAMES - 1}.png") for name in "gn")
    assert not torch.equal(guided, plain)
    assert torch.equal(read_image(tmp_path / "g/0.png"), read_image(tmp_path / "n/0.png"))


def test_a_painted_still_gives_a_picture(tmp_path, labels):
    assert run(labels / "000.png", "-o", tmp_path / "picture.png") == 0
    assert read_image(tmp_path / "picture.png").shape == (3, HEIGHT, WIDTH)
    assert run(labels / "000.png", "-o", tmp_path / "large.png", "--size", "100x160") == 0
    assert read_image(tmp_path / "large.png").shape == (3, 100, 160)


def test_styles(tmp_path, labels):
    still = labels / "000.png"
    for seed in (1, 2, 1):
        assert run(still, "-o", tmp_path / f"{seed}.png", "--style-seed", seed, "--overwrite") == 0
    one, two = (read_image(tmp_path / f"{seed}.png") for seed in (1, 2))
    assert (one - two).abs().mean() > 0.02
    assert run(still, "-o", tmp_path / "again.png", "--style-seed", 1) == 0
    assert (tmp_path / "again.png").read_bytes() == (tmp_path / "1.png").read_bytes()


def test_a_reference_sets_the_light(tmp_path, labels):
    street_at_noon = Street.random(torch.Generator().manual_seed(5)).with_light(12.0, 2.0)
    camera = street_at_noon.random_camera(torch.Generator().manual_seed(5), 96, 160)
    for name, hour in (("day", 12.0), ("night", 0.5)):
        write_png(tmp_path / f"at_{name}.png", street_at_noon.with_light(hour, 2.0).render(camera).rgb)
        reference = tmp_path / f"at_{name}.png"
        assert run(labels / "000.png", "-o", tmp_path / f"{name}.png", "--reference", reference) == 0
    day, night = (read_image(tmp_path / f"{name}.png") for name in ("day", "night"))
    assert night[:, :12].mean() < day[:, :12].mean() - 0.1  # the sky


def test_a_stream_without_end_needs_no_more_memory(labels):
    pipeline = FootagePipeline.from_pretrained()
    shots = (Shot(torch.from_numpy(street(k % 5)).long()) for k in range(10**9))
    stream = pipeline.stream(shots, pipeline.style(seed=3))
    assert [next(stream).rgb.shape for _ in range(12)] == [(3, HEIGHT, WIDTH)] * 12


def test_real_labels(tmp_path, data_dir):
    source = data_dir / "camvid/0016E5_c_15Hz/labels"
    labels = open_labels(source)
    assert labels.set.name == "camvid" and labels.frames == 101
    files = sorted(source.iterdir())[:3]
    for file in files:
        (tmp_path / file.name).write_bytes(file.read_bytes())
    assert run(tmp_path, "-o", tmp_path / "out.mp4", "--size", "120x160") == 0
    assert len(list(read_video_frames(tmp_path / "out.mp4"))) == 3


def wrong(tmp_path, capsys, *words) -> str:
    """Run a command line that must be refused; returns its message."""
    out = tmp_path / "wrong.mp4"
    assert run(*words, "-o", out) == 2
    assert not list(tmp_path.glob(".*partial")) and not out.exists()
    message = capsys.readouterr().err.strip()
    assert message.count("\n") == 0 and message.startswith("viewsynth footage: error: ")
    return message


def test_bad_input_is_refused_in_one_line(tmp_path, capsys, labels, geometry):
    depth, cameras = geometry / "depth", geometry / "cameras.json"
    assert "no such" in wrong(tmp_path, capsys, tmp_path / "missing")
    assert "only together" in wrong(tmp_path, capsys, labels, "--depth", depth)
    assert "only together" in wrong(tmp_path, capsys, labels, "--cameras", cameras)
    assert "one of them" in wrong(tmp_path, capsys, labels, "--reference", labels / "000.png", "--style-seed", 1)
    assert "camvidd" in wrong(tmp_path, capsys, labels, "--labels-set", "camvidd")
    assert "sofa" in wrong(tmp_path, capsys, labels, "--unmapped", "sofa")
    assert wrong(tmp_path, capsys, labels, "--weights", tmp_path)
    assert wrong(tmp_path, capsys, labels, "--reference", cameras)
    assert wrong(tmp_path, capsys, labels, "--size", "47x80", "--depth", depth, "--cameras", cameras)

    fewer = json.loads(cameras.read_text())
    fewer["cameras"].pop()
    (tmp_path / "fewer.json").write_text(json.dumps(fewer))
    message = wrong(tmp_path, capsys, labels, "--depth", depth, "--cameras", tmp_path / "fewer.json")
    assert f"found {FRAMES - 1} frames, wanted {FRAMES}" in message

    (tmp_path / "short").mkdir()
    (tmp_path / "short/000.png").write_bytes((depth / "000.png").read_bytes())
    message = wrong(tmp_path, capsys, labels, "--depth", tmp_path / "short", "--cameras", cameras)
    assert f"found 1 frames, wanted {FRAMES}" in message

    (tmp_path / "square").mkdir()
    for k in range(FRAMES):
        cv2.imwrite(str(tmp_path / f"square/{k}.png"), np.full((60, 60), 1000, np.uint16))
    assert "60x60" in wrong(tmp_path, capsys, labels, "--depth", tmp_path / "square", "--cameras", cameras)


def test_missing_and_damaged_frames_are_named(tmp_path, capsys, labels):
    folder = tmp_path / "gap"
    folder.mkdir()
    for k in (0, 1, 3):
        (folder / f"{k:03d}.png").write_bytes((labels / f"{k:03d}.png").read_bytes())
    assert "002.png" in wrong(tmp_path, capsys, folder / "%03d.png")
    (folder / "002.png").write_bytes((labels / "002.png").read_bytes()[:60])
    assert "002.png" in wrong(tmp_path, capsys, folder)


def test_a_class_that_the_weights_do_not_know_is_named(tmp_path, capsys, labels):
    pipeline = FootagePipeline.from_pretrained()
    known = tuple(name for name in pipeline.generator.config.classes if name != "car")
    object.__setattr__(pipeline.generator.config, "classes", known)
    pipeline.generator.save_pretrained(tmp_path / "no_cars")
    message = wrong(tmp_path, capsys, labels, "--weights", tmp_path / "no_cars")
    assert "have not learnt car (" in message
