"""The command, as a person uses it: the demo, real photos, odd photos, bad input."""

import math
import signal
import subprocess
import sys
import time

import cv2
import numpy as np
import pytest
import torch

from pipelines.cli import main
from pipelines.flyover import FlyoverPipeline
from pipelines.flyover_adaptation import Adaptation, adapted
from pipelines.media.framing import FIELD_OF_VIEW, crop_to_aspect, default_size
from pipelines.media.images import read_image
from pipelines.media.video import read_rate, read_video_frames
from pipelines.training.run import Kit
from render_refine.camera import Camera
from render_refine.metrics import loop_closure


def run(*words):
    return main(["flyover", *map(str, words)])


@pytest.fixture(scope="module")
def pipeline():
    return FlyoverPipeline.from_pretrained()


@pytest.fixture(scope="module")
def photo(tmp_path_factory):
    """A small drawn landscape, so that these tests need no data."""
    v, u = np.mgrid[0:72, 0:128]
    image = np.where(v[..., None] < 30, [235, 200, 150], [60, 110, 80]).astype(np.float64)
    image += 25 * np.sin(u / 5)[..., None] * (v[..., None] > 30)
    path = tmp_path_factory.mktemp("photo") / "hills.png"
    cv2.imwrite(str(path), image.clip(0, 255).astype(np.uint8))
    return path


def test_the_demo_flies(tmp_path):
    out = tmp_path / "flyover.mp4"
    assert run("-o", out, "--frames", 6) == 0
    frames = list(read_video_frames(out))
    assert len(frames) == 6
    assert frames[0].shape == (3, 256, 448)
    assert read_rate(out) == 24


def test_a_photo_becomes_pictures_and_the_first_is_the_photo(tmp_path, photo):
    assert run(photo, "-o", tmp_path / "f/%03d.png", "--frames", 10, "--camera", "forward") == 0
    files = sorted((tmp_path / "f").iterdir())
    assert len(files) == 10
    assert torch.equal((read_image(files[0]) * 255).round(), (read_image(photo) * 255).round())
    assert not torch.equal(read_image(files[9]), read_image(files[0]))


def test_a_static_camera_gives_identical_files(tmp_path, photo):
    assert run(photo, "-o", tmp_path / "s/%d.png", "--frames", 12, "--camera", "static") == 0
    contents = {file.read_bytes() for file in (tmp_path / "s").iterdir()}
    assert len(contents) == 1


def test_the_same_seed_gives_the_same_bytes(tmp_path, photo):
    for name in ("a", "b"):
        assert run(photo, "-o", tmp_path / f"{name}.mp4", "--frames", 20, "--seed", 7) == 0
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()


def test_every_switch(tmp_path, photo):
    np.save(tmp_path / "depth.npy", np.tile(np.linspace(9, 1, 72)[:, None], (1, 128)))
    words = [
        "--frames",
        9,
        "--size",
        "64x80",
        "--fps",
        "30000/1001",
        "--camera",
        "orbit",
        "--depth",
        tmp_path / "depth.npy",
    ]
    assert run(photo, "-o", tmp_path / "o.mp4", *words, "--no-memory", "--no-refine", "--device", "cpu") == 0
    assert next(iter(read_video_frames(tmp_path / "o.mp4"))).shape == (3, 64, 80)


def test_a_preview_of_a_loop(tmp_path, photo):
    words = ["--size", "144x256", "--frames", 8, "--loop", "--camera", "rise"]
    assert run(photo, "-o", tmp_path / "p/%d.png", *words, "--preview") == 0
    frames = [read_image(tmp_path / f"p/{k}.png") for k in range(8)]
    assert frames[0].shape == (3, 96, 170)
    assert not torch.equal(frames[0], frames[4])
    assert loop_closure([*frames, frames[0]])["psnr"] > 30


def test_a_copy_of_the_refiner_learns_the_photo(pipeline, photo):
    rgb, depth = pipeline.take(read_image(photo), None, 96, 160)
    camera = Camera.from_fov(96, 160, FIELD_OF_VIEW)
    kit = Kit(torch.device("cpu"))
    before = {name: weight.clone() for name, weight in pipeline.refiner.state_dict().items()}
    recipe = Adaptation(kit, pipeline.refiner, rgb, depth, camera)
    losses = [sum(map(float, recipe.step(k, torch.Generator().manual_seed(3)).values())) for k in range(6)]
    assert losses[-1] < 0.98 * losses[0]  # of the same journeys
    learned = adapted(pipeline.refiner, rgb, depth, camera, 1.0, torch.device("cpu"))
    changed = [not torch.equal(weight, before[name]) for name, weight in learned.state_dict().items()]
    assert sum(changed) > 0.5 * len(changed)
    # What the flights of other photos use is what it was.
    assert all(torch.equal(weight, before[name]) for name, weight in pipeline.refiner.state_dict().items())


def bad_inputs(folder, photo):
    (folder / "empty.jpg").write_bytes(b"")
    (folder / "text.jpg").write_text("not a picture")
    whole = photo.read_bytes()
    (folder / "cut.png").write_bytes(whole[: len(whole) // 2])
    (folder / "sub").mkdir()
    np.save(folder / "bad.npy", np.full((72, 128), np.nan))
    (folder / "taken.mp4").write_bytes(b"precious")
    out = folder / "x.mp4"
    yield from (
        [folder / "missing.jpg", "-o", out],
        [folder / "empty.jpg", "-o", out],
        [folder / "text.jpg", "-o", out],
        [folder / "cut.png", "-o", out],
        [folder / "sub", "-o", out],
        [photo, "-o", out, "--camera", "sideways"],
        [photo, "-o", out, "--frames", 0],
        [photo, "-o", out, "--frames", -3],
        [photo, "-o", out, "--frames", "many"],
        [photo, "-o", out, "--fps", 0],
        [photo, "-o", out, "--size", "0x448"],
        [photo, "-o", out, "--size", "-256x448"],
        [photo, "-o", out, "--size", "256"],
        [photo, "-o", out, "--size", "255x447"],
        [photo, "-o", out, "--size", "2x2"],
        [photo, "-o", out, "--device", "abacus"],
        [photo, "-o", out, "--weights", folder / "sub"],
        [photo, "-o", out, "--weights", folder / "nowhere"],
        [photo, "-o", out, "--depth", folder / "bad.npy"],
        [photo, "-o", out, "--depth", folder / "missing.npy"],
        [photo, "-o", out, "--adapt", -1],
        [photo, "-o", out, "--adapt", "long"],
        [photo, "-o", out, "--adapt", 5, "--no-refine"],
        [photo, "-o", out, "--camra", "static"],
        [photo, "-o", folder / "no/such/folder.mp4"],
        [photo, "-o", folder / "movie.xyz"],
        [photo, "-o", folder / "taken.mp4"],
    )


def test_bad_input_gives_one_line_and_leaves_everything_as_it_was(tmp_path, photo, capsys):
    for words in bad_inputs(tmp_path, photo):
        before = {p.name for p in tmp_path.iterdir()}
        assert run(*words, "--frames", 2) == 2 if "--frames" not in words else run(*words) == 2, words
        error = capsys.readouterr().err.strip()
        assert error.startswith("viewsynth flyover: error: "), words
        assert "\n" not in error, words
        assert {p.name for p in tmp_path.iterdir()} == before, words
    assert (tmp_path / "taken.mp4").read_bytes() == b"precious"


def test_overwrite_replaces(tmp_path, photo):
    out = tmp_path / "o.mp4"
    out.write_bytes(b"old")
    assert run(photo, "-o", out, "--frames", 2, "--overwrite") == 0
    assert len(list(read_video_frames(out))) == 2


@pytest.mark.parametrize(
    ("name", "pixels"),
    [
        ("grey.png", np.full((40, 60), 128, np.uint8)),
        ("alpha.png", np.full((40, 60, 4), 128, np.uint8)),
        ("deep.png", np.full((40, 60, 3), 40_000, np.uint16)),
        ("black.png", np.zeros((40, 60, 3), np.uint8)),
        ("tall.png", np.full((120, 30, 3), 90, np.uint8)),
    ],
)
def test_unusual_photos_fly(tmp_path, name, pixels):
    cv2.imwrite(str(tmp_path / name), pixels)
    assert run(tmp_path / name, "-o", tmp_path / "o.mp4", "--frames", 9) == 0


@pytest.mark.parametrize("shape", [(1, 1, 3), (10, 20_000, 3)])
def test_impossible_shapes_are_refused_clearly(tmp_path, capsys, shape):
    cv2.imwrite(str(tmp_path / "p.png"), np.full(shape, 90, np.uint8))
    assert run(tmp_path / "p.png", "-o", tmp_path / "o.mp4") == 2
    assert f"{shape[0]}x{shape[1]}" in capsys.readouterr().err
    assert not (tmp_path / "o.mp4").exists()


def test_sizes_keep_the_aspect():
    assert default_size(torch.zeros(3, 576, 1024)) == (254, 452)
    height, width = default_size(torch.zeros(3, 300, 100))
    assert width / height == pytest.approx(1 / 3, rel=0.02)
    assert default_size(torch.zeros(3, 50, 61)) == (50, 60)
    assert crop_to_aspect(torch.zeros(3, 100, 300), 10, 10).shape == (3, 100, 100)


def test_every_real_photo_flies(data_dir, pipeline):
    """One short flight of each photo and clip at a small size: whole frames, no NaN, whatever it shows."""
    photos = sorted((data_dir / "landscape_photos").glob("*.jpg"))
    photos += [sorted(clip.glob("*.jpg"))[0] for clip in sorted((data_dir / "clips").iterdir()) if clip.is_dir()]
    for path in photos:
        image = read_image(path)
        height, width = default_size(image)
        frames = list(pipeline.stream(image, frames=9, size=(height // 4 * 2, width // 4 * 2)))
        assert len(frames) == 9, path
        assert all(f.rgb.isfinite().all() and not f.depth.isnan().any() for f in frames), path


def test_real_photos_look_the_same_on_return(data_dir, pipeline):
    image = read_image(data_dir / "landscape_photos" / "elem_Tomasz_Smal.jpg")
    closures = []
    for memory in (True, False):
        stream = pipeline.stream(image, frames=41, size=(128, 192), camera="out-and-back", memory=memory)
        closures.append(loop_closure([f.rgb for f in stream]))
    assert closures[0]["psnr"] >= 30
    assert closures[0]["ssim"] >= 0.95
    assert closures[0]["psnr"] >= closures[1]["psnr"] + 6


def test_depth_of_a_landscape_puts_the_sky_far_and_the_ground_near(pipeline, photo):
    depth = pipeline.estimate_depth(read_image(photo))
    assert depth.shape == (72, 128)
    assert not depth.isnan().any()
    assert (depth > 0).all()
    finite = depth[depth.isfinite()]
    assert finite.max() / finite.min() < math.exp(8)


def test_interrupting_leaves_nothing_behind(tmp_path, photo):
    command = "import sys; from pipelines.cli import main; sys.exit(main())"
    words = ["flyover", str(photo), "-o", str(tmp_path / "o.mp4"), "--frames", "5000"]
    process = subprocess.Popen(
        [sys.executable, "-c", command, *words],
        stderr=subprocess.PIPE,
        # A shell's background job ignores SIGINT, and its children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    deadline = time.monotonic() + 60
    while not list(tmp_path.iterdir()) and time.monotonic() < deadline:
        time.sleep(0.1)
    time.sleep(1)
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 130
    assert list(tmp_path.iterdir()) == []
