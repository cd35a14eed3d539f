"""``viewsynth views``, as a person uses it, with a small model that has learnt nothing but trusts what it is shown."""

import json
import math
from itertools import pairwise

import cv2
import numpy as np
import pytest
import torch

from pipelines.cli import main
from pipelines.errors import InputError
from pipelines.media.camera_files import Track, read_cameras, write_cameras
from pipelines.media.depth_files import read_depth
from pipelines.media.framing import FIELD_OF_VIEW
from pipelines.media.images import read_image
from pipelines.media.video import read_rate, read_video_frames
from pipelines.models import WEIGHTS
from pipelines.perception.depth_models import TransformersDepth, near_units
from pipelines.view_cameras import Wish, cameras_along, chosen_flight, preset_cameras
from pipelines.views import ViewsPipeline
from render_refine.camera import Camera, pose_from
from render_refine.metrics import psnr
from render_refine.spade import SpadeConfig
from render_refine.unet import UNetConfig
from synsin.model import SynsinConfig, ViewSynthesizer
from synsin.presets import PRESETS, Scene, preset_path

SMALL = SynsinConfig(
    features=8,
    encoder=(8,),
    regressor=UNetConfig(3, 2, (8, 16, 16)),
    refiner=SpadeConfig((9, 6), 4, (16, 16), 8),
    radius=2.0,
    points_per_pixel=16,
)
HEIGHT, WIDTH = 48, 72


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Weights of a model that draws faintly."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        model = ViewSynthesizer(SMALL)
    with torch.no_grad():
        for parameter in model.refiner.conv_img.parameters():
            parameter *= 0.1
    folder = tmp_path_factory.mktemp("weights") / "views"
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def pipeline(folder):
    return ViewsPipeline.from_pretrained(folder)


@pytest.fixture(scope="module")
def photo(tmp_path_factory):
    """A small drawn landscape with a pole, so that these tests need no data."""
    v, u = np.mgrid[0:HEIGHT, 0:WIDTH]
    image = np.where(v[..., None] < 20, [235, 200, 150], [60, 110, 80]).astype(np.float64)
    image += 25 * np.sin(u / 3)[..., None] * (v[..., None] > 20)
    image[10:, 30:34] = [20, 20, 230]
    path = tmp_path_factory.mktemp("photo") / "pole.png"
    cv2.imwrite(str(path), image.clip(0, 255).astype(np.uint8))
    return path


@pytest.fixture(scope="module")
def depth(tmp_path_factory):
    """A plain, a pole and a sky, in metres."""
    v = np.mgrid[0:HEIGHT, 0:WIDTH][0]
    z = np.where(v > 20, 60.0 / np.maximum(v - 19.5, 0.1), np.inf)
    z[10:, 30:34] = 3.0
    path = tmp_path_factory.mktemp("depth") / "pole.npy"
    np.save(path, z)
    return path


@pytest.fixture
def run(folder):
    def run(*words):
        return main(["views", *map(str, words), *(() if "--weights" in words else ("--weights", str(folder)))])

    return run


def levels(frames):
    return [(frame * 255).round().byte() for frame in frames]


def test_the_same_camera_gives_the_photo(pipeline, photo, depth):
    image = read_image(photo)
    for z in (None, read_depth(depth, HEIGHT, WIDTH)):
        taken = pipeline.take(image, depth=z)
        (frame,) = pipeline.stream(taken, [taken.camera])
        assert psnr(frame[None], image[None]) >= 40
        # As near as that also where the camera is said in another way.
        (still,) = pipeline.stream(taken, preset_cameras("static", taken.depth, 1))
        assert psnr(still[None], image[None]) >= 40


@pytest.mark.parametrize("name", ["orbit", "truck", "spiral", "zoom"])
def test_the_frame_after_the_last_is_the_first_byte_for_byte(pipeline, photo, depth, name):
    taken = pipeline.take(read_image(photo), depth=read_depth(depth, HEIGHT, WIDTH))
    path, frames = preset_path(name, Scene.of(taken.depth, FIELD_OF_VIEW)), 5
    cameras = cameras_along(path, HEIGHT, WIDTH, frames, loop=True)
    beyond = path.view(path.progress(frames, frames, loop=True)).camera(HEIGHT, WIDTH)
    seen = levels(pipeline.stream(taken, [*cameras, beyond]))
    assert torch.equal(seen[0], seen[-1])
    assert not any(torch.equal(a, b) for a, b in pairwise(seen[:3]))


def test_a_static_camera_gives_identical_files(tmp_path, photo, run):
    assert run(photo, "-o", tmp_path / "s/%d.png", "--camera", "static", "--frames", 5) == 0
    files = list((tmp_path / "s").iterdir())
    assert len(files) == 5 and len({file.read_bytes() for file in files}) == 1


def test_the_unit_of_a_depth_does_not_matter(pipeline, photo, depth):
    z = read_depth(depth, HEIGHT, WIDTH)
    one, other = (pipeline.take(read_image(photo), depth=z * unit) for unit in (1.0, 1000.0))
    torch.testing.assert_close(one.depth, other.depth)
    finite = one.depth[one.depth.isfinite()]
    assert float((finite <= 1.0001).float().mean()) == pytest.approx(0.1, abs=0.05)
    assert torch.equal(one.depth.isinf(), z.isinf())
    own = pipeline.take(read_image(photo)).depth
    assert not own.isnan().any() and (own > 0).all()


def test_what_is_near_moves_more(pipeline, photo, depth):
    """A camera to the right sees the pole go left, before the plain behind it."""
    image = read_image(photo)
    taken = pipeline.take(image, depth=read_depth(depth, HEIGHT, WIDTH))
    lens = taken.camera
    (frame,) = pipeline.stream(taken, [lens.at(pose_from(torch.tensor([0.1, 0.0, 0.0])))])
    pole = float(taken.depth[30, 32])
    shift = 0.1 * float(lens.focal) / pole
    assert shift > 4
    red = (frame[0, 30] > 0.7).nonzero().flatten().float().mean() + 0.5
    assert float(red) == pytest.approx(32 - shift, abs=1)
    torch.testing.assert_close(frame[:, 2], image[:, 2], atol=0.05, rtol=0)  # the sky stays


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_every_preset_makes_a_still(tmp_path, photo, depth, run, name):
    assert run(photo, "-o", tmp_path / "o.png", "--camera", name, "--amount", "0.8", "--depth", depth) == 0
    frame = read_image(tmp_path / "o.png")
    assert (psnr(frame[None], read_image(photo)[None]) >= 40) == (name == "static")


def test_every_output(tmp_path, photo, depth, run):
    words = ["--frames", 4, "--fps", "30000/1001", "--camera", "sway", "--loop", "--amount", -1, "--size", "40x64"]
    besides = ["--save-depth", tmp_path / "d.pfm", "--save-points", tmp_path / "p.ply"]
    cameras = ["--cameras-out", tmp_path / "transforms.json"]
    assert run(photo, "-o", tmp_path / "o.mp4", "--depth", depth, *words, *besides, *cameras) == 0
    frames = list(read_video_frames(tmp_path / "o.mp4"))
    assert len(frames) == 4 and frames[0].shape == (3, 40, 64)
    assert read_rate(tmp_path / "o.mp4") == read_cameras(tmp_path / "transforms.json", 40, 64).fps
    z = read_depth(tmp_path / "d.pfm", 40, 64)
    solid = int(z.isfinite().sum())
    assert 0 < solid < 40 * 64
    header, _, body = (tmp_path / "p.ply").read_bytes().partition(b"end_header\n")
    assert f"element vertex {solid}\n".encode() in header and len(body) == 15 * solid
    points = np.frombuffer(body, np.dtype([("xyz", "<f4", 3), ("rgb", "u1", 3)]))["xyz"]
    np.testing.assert_allclose(np.sort(points[:, 2]), z[z.isfinite()].sort().values.numpy(), rtol=1e-5)


@pytest.mark.parametrize("name", ["cameras.txt", "transforms.json", "camera_path.json", "cameras.json", "colmap"])
def test_cameras_flown_can_be_flown_again(tmp_path, photo, depth, run, name):
    """Every format: what is written out reads back within 0.25 pixels, and gives the same pictures."""
    common = ["--depth", depth, "--size", f"{HEIGHT}x{WIDTH}"]
    first = ["--camera", "spiral", "--frames", 3, "--cameras-out", tmp_path / name]
    assert run(photo, "-o", tmp_path / "a/%d.png", *common, *first) == 0
    wish = Wish(str(tmp_path / name), scale=1.0)
    z = read_depth(depth, HEIGHT, WIDTH)
    again = chosen_flight(wish, None, HEIGHT, WIDTH).cameras(z)
    z = z / z[z.isfinite()].quantile(0.1)
    grid = Camera.from_fov(HEIGHT, WIDTH, FIELD_OF_VIEW).unproject(torch.full((HEIGHT, WIDTH), 2.0)).flatten(0, 1)
    for one, other in zip(preset_cameras("spiral", z, 3), again, strict=True):
        assert (one.project(grid)[0] - other.project(grid)[0]).abs().max() <= 0.25
    assert run(photo, "-o", tmp_path / "b/%d.png", *common, "--camera", tmp_path / name, "--scale", 1) == 0
    for one, other in zip(*(read_video_frames(tmp_path / k / "%d.png") for k in "ab"), strict=True):
        assert psnr(one[None], other[None]) > 35


def test_the_scale_of_a_camera_file_is_chosen_and_said(tmp_path, photo, run, capsys):
    lens = Camera.from_fov(HEIGHT, WIDTH, 1.0)
    poses = [pose_from(torch.tensor([1e6 + x, 5.0, 0.0], dtype=torch.float64), yaw=0.3) for x in (0, 40, -80, 20)]
    write_cameras(tmp_path / "walk.json", Track([lens.to(torch.float64).at(pose) for pose in poses]))
    flight = chosen_flight(Wish(str(tmp_path / "walk.json")), None, HEIGHT, WIDTH)
    assert "4 cameras; scale 0.0025, so that they reach 0.2 units" in capsys.readouterr().out
    centres = torch.stack([camera.centre for camera in flight.cameras(torch.ones(HEIGHT, WIDTH))])
    assert centres.norm(dim=1).tolist() == pytest.approx([0, 0.1, 0.2, 0.05], abs=1e-5)
    assert flight.lens is not None and float(flight.lens.focal) == pytest.approx(float(lens.focal), rel=1e-5)
    assert run(photo, "-o", tmp_path / "o.mp4", "--camera", tmp_path / "walk.json") == 0
    assert len(list(read_video_frames(tmp_path / "o.mp4"))) == 4


def test_keyframes_fly(tmp_path, photo, run):
    keys = [{"time": 0}, {"time": 0.5, "position": [0.1, 0, 0], "fov_deg": 50}, {"time": 1}]
    (tmp_path / "path.json").write_text(json.dumps({"keyframes": keys}))
    words = [photo, "--camera", tmp_path / "path.json", "--fps", 6]
    assert run(*words, "-o", tmp_path / "a/%d.png") == 0
    assert run(*words, "-o", tmp_path / "b/%d.png", "--loop") == 0
    assert run(*words, "-o", tmp_path / "c/%d.png", "--frames", 3) == 0
    counts = {k: sorted(file.read_bytes() for file in (tmp_path / k).iterdir()) for k in "abc"}
    assert [len(files) for files in counts.values()] == [7, 6, 3]
    assert (tmp_path / "a/0.png").read_bytes() == (tmp_path / "a/6.png").read_bytes()
    assert (tmp_path / "a/3.png").read_bytes() == (tmp_path / "c/1.png").read_bytes()


@pytest.mark.parametrize("name", ["d.npy", "d.pfm", "d.png"])
def test_saved_depth_is_taken_again(tmp_path, photo, depth, run, name):
    words = [photo, "--camera", "truck", "--size", "40x40"]  # a part of the photo
    assert run(*words, "-o", tmp_path / "a.png", "--depth", depth, "--save-depth", tmp_path / name) == 0
    assert run(*words, "-o", tmp_path / "b.png", "--depth", tmp_path / name) == 0
    assert psnr(*(read_image(tmp_path / k)[None] for k in ("a.png", "b.png"))) > 45


def bad_inputs(folder, photo):
    (folder / "text.jpg").write_text("not a picture")
    (folder / "sub").mkdir()
    (folder / "taken.mp4").write_bytes(b"precious")
    (folder / "taken.ply").write_bytes(b"precious")
    (folder / "keys.json").write_text('{"keyframes": [{"time": 0}, {"time": 1e5}]}')
    (folder / "bad.json").write_text('{"keyframes": [{"time": "x"}]}')
    cv2.imwrite(str(folder / "tiny.png"), np.zeros((8, 9, 3), np.uint8))
    lens = Camera.from_fov(HEIGHT, WIDTH, 1.0)
    write_cameras(folder / "three.txt", Track([lens] * 3))
    write_cameras(folder / "square.json", Track([Camera.from_fov(64, 64, 1.0)] * 3))
    np.save(folder / "wide.npy", np.ones((10, 90)))
    out, file = folder / "x.mp4", folder / "three.txt"
    yield "no such file", [folder / "missing.jpg", "-o", out]
    yield "text", [folder / "text.jpg", "-o", out]
    yield "8x9 pixels", [folder / "tiny.png", "-o", out]
    yield "did you mean orbit", [photo, "-o", out, "--camera", "orbti"]
    yield "presets: orbit, arc", [photo, "-o", out, "--camera", "qqqq"]
    yield "no such file", [photo, "-o", out, "--camera", "missing.json"]
    yield "no such", [photo, "-o", out, "--camera", folder / "nothing/there"]
    yield "COLMAP|cameras.txt", [photo, "-o", out, "--camera", folder / "sub"]
    yield "camera file", [photo, "-o", out, "--camera", photo]
    yield "finite", [photo, "-o", out, "--amount", "nan"]
    yield "finite", [photo, "-o", out, "--amount", "inf"]
    yield "-10 to 10", [photo, "-o", out, "--amount", "11"]
    yield "did you mean smooth", [photo, "-o", out, "--easing", "smoth"]
    yield "loop", [photo, "-o", out, "--easing", "smooth", "--loop"]
    yield "from 1 on", [photo, "-o", out, "--frames", 0]
    yield "frames per second", [photo, "-o", out, "--fps", 0]
    yield "even sides", [photo, "-o", out, "--size", "41x60"]
    yield "too small", [photo, "-o", out, "--size", "8x8"]
    yield "expected an output", [photo, "-o", folder / "x.gif"]
    yield "exists", [photo, "-o", folder / "taken.mp4"]
    yield "no folder", [photo, "-o", folder / "no/x.mp4"]
    yield "found 3 cameras, wanted 5", [photo, "-o", out, "--camera", file, "--frames", 5]
    yield "--loop is for", [photo, "-o", out, "--camera", file, "--loop"]
    yield "--amount is for", [photo, "-o", out, "--camera", file, "--amount", 2]
    yield "--easing is for", [photo, "-o", out, "--camera", folder / "keys.json", "--easing", "in"]
    yield "--scale is for", [photo, "-o", out, "--scale", 2]
    yield "expected 0 to", [photo, "-o", out, "--camera", file, "--scale", -1]
    yield "aspects differ", [photo, "-o", out, "--camera", folder / "square.json"]
    yield "2,400,001 frames", [photo, "-o", out, "--camera", folder / "keys.json"]
    yield "keyframe 0", [photo, "-o", out, "--camera", folder / "bad.json"]
    yield "aspects differ", [photo, "-o", out, "--depth", folder / "wide.npy"]
    yield "one of them", [photo, "-o", out, "--depth", folder / "wide.npy", "--depth-model", "x"]
    yield "ending in .npy", [photo, "-o", out, "--save-depth", folder / "d.jpg"]
    yield "ending in .ply", [photo, "-o", out, "--save-points", folder / "d.obj"]
    yield "exists", [photo, "-o", out, "--save-points", folder / "taken.ply"]
    yield "exists", [photo, "-o", out, "--cameras-out", folder / "sub"]
    yield "exists", [photo, "-o", out, "--cameras-out", folder / "three.txt"]
    yield "ending in .txt", [photo, "-o", out, "--cameras-out", folder / "c.csv"]
    yield "no folder", [photo, "-o", out, "--cameras-out", folder / "no/c.txt"]
    yield "one name", [photo, "-o", folder / "a.png", "--save-depth", folder / "a.png"]
    yield "config.json", [photo, "-o", out, "--weights", folder / "sub"]
    yield "not available", [photo, "-o", out, "--device", "abacus"]
    yield "did you mean --camera", [photo, "-o", out, "--camra", "orbit"]


def test_bad_input_gives_one_line_and_leaves_everything_as_it_was(tmp_path, photo, run, capsys):
    before = None
    for wanted, words in bad_inputs(tmp_path, photo):
        before = before or {p.name for p in tmp_path.iterdir()}
        assert run(*words) == 2, words
        error = capsys.readouterr().err.strip()
        assert error.startswith("viewsynth views: error: ") and "\n" not in error, words
        assert any(part in error for part in wanted.split("|")), (error, wanted)
        assert {p.name for p in tmp_path.iterdir()} == before, words
    assert (tmp_path / "taken.mp4").read_bytes() == (tmp_path / "taken.ply").read_bytes() == b"precious"


def test_the_help_names_every_preset(capsys):
    assert main(["views", "--help"]) == 0
    text = capsys.readouterr().out
    assert all(f"\n  {name} " in text for name in PRESETS)


@pytest.fixture(scope="module")
def foreign(tmp_path_factory):
    """A depth model of transformers that has learnt nothing, in a folder."""
    transformers = pytest.importorskip("transformers")
    folder = tmp_path_factory.mktemp("glpn")
    shape = {"hidden_sizes": [8, 8, 16, 16], "depths": [1, 1, 1, 1], "num_attention_heads": [1, 1, 2, 2]}
    config = transformers.GLPNConfig(**shape, decoder_hidden_size=8)
    transformers.GLPNForDepthEstimation(config).save_pretrained(folder)
    transformers.GLPNImageProcessor().save_pretrained(folder)
    return folder


def test_a_depth_model_of_transformers(foreign, photo, tmp_path, run):
    model = TransformersDepth.from_pretrained(str(foreign))
    assert not model.inverse
    z = model(torch.rand(3, 50, 70, generator=torch.Generator().manual_seed(0)))
    assert z.shape == (50, 70) and (z > 0).all() and z.isfinite().all()
    words = ["--camera", "truck", "--depth-model", foreign, "--save-depth", tmp_path / "d.npy"]
    assert run(photo, "-o", tmp_path / "o.png", *words) == 0
    used = read_depth(tmp_path / "d.npy", HEIGHT, WIDTH)
    torch.testing.assert_close(used, model(read_image(photo)))
    config = json.loads((foreign / "config.json").read_text())
    (tmp_path / "m").mkdir()
    for file in foreign.iterdir():
        (tmp_path / "m" / file.name).write_bytes(file.read_bytes())
    (tmp_path / "m" / "config.json").write_text(json.dumps({**config, "model_type": "vit", "architectures": ["X"]}))
    for name in (tmp_path / "m", tmp_path / "missing"):
        with pytest.raises(InputError, match="not loaded as a depth model"):
            TransformersDepth.from_pretrained(str(name))


def test_depth_and_inverse_depth_become_one_unit():
    z = torch.tensor([[2.0, 4.0], [8.0, 1e6]]).repeat_interleave(20, 0).repeat_interleave(20, 1)
    metric = near_units(z[None, None], 40, 40, inverse=False)
    inverse = near_units(7 / z[None, None], 40, 40, inverse=True)
    expected = torch.tensor([[1.0, 2.0], [4.0, math.inf]])
    corners = (slice(None, None, 39), slice(None, None, 39))
    torch.testing.assert_close(inverse[corners], expected)
    torch.testing.assert_close(metric[corners][0], expected[0])
    assert metric.isfinite().all() and not inverse.isnan().any()
    assert torch.equal(near_units(torch.zeros(1, 1, 4, 4), 6, 6, inverse=True), torch.ones(6, 6))


@pytest.mark.skipif(not (WEIGHTS / "views").is_dir(), reason="no model of views is bundled")
def test_real_photos_come_out_as_they_are(data_dir):
    pipeline = ViewsPipeline.from_pretrained()
    for path in sorted((data_dir / "landscape_photos").glob("*.jpg"))[::20]:
        taken = pipeline.take(read_image(path), size=(96, 144))
        frames = list(pipeline.stream(taken, [taken.camera, *preset_cameras("orbit", taken.depth, 2)]))
        assert psnr(frames[0][None], taken.rgb[None]) >= 40, path
        assert all(frame.isfinite().all() for frame in frames)
