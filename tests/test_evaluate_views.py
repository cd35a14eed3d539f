"""`viewsynth evaluate views`: the baselines, the fitted scale, how pairs are judged, the report, and the command."""

from __future__ import annotations

import json
import math

import cv2
import pytest
import torch
from torch.nn import functional as F

from pipelines.cli import main
from pipelines.evaluation import view_methods as methods
from pipelines.evaluation import view_pairs as plans
from pipelines.evaluation import view_speed as cost
from pipelines.evaluation import views as job
from pipelines.evaluation.view_methods import COPY, INPAINT, METHODS, VIEWS, WARP, Pair, fitted_unit, seen_from, splat
from pipelines.evaluation.view_pairs import FOX, RE10K, pairs_of_clip, pairs_of_place
from pipelines.evaluation.view_scores import depth_figures, judge, summary
from pipelines.media.camera_files import Track, write_cameras
from pipelines.media.images import read_image, write_png
from pipelines.training import view_set
from pipelines.training.posed_set import PosedClip
from pipelines.training.view_set import Views
from pipelines.views import ViewsPipeline
from render_refine.camera import Camera, pose_from
from render_refine.spade import SpadeConfig
from render_refine.unet import UNetConfig
from synsin.model import COLOUR_CHANNELS, SynsinConfig, ViewSynthesizer

HEIGHT, WIDTH = 32, 48
CAMERA = Camera.from_fov(HEIGHT, WIDTH, 1.0)


def smooth(seed: int, height: int = HEIGHT, width: int = WIDTH) -> torch.Tensor:
    """A picture of soft blobs, (3, H, W)."""
    coarse = torch.rand(1, 3, height // 4, width // 4, generator=torch.Generator().manual_seed(seed))
    return F.interpolate(coarse, (height, width), mode="bicubic", align_corners=False)[0].clamp(0, 1)


def moved(right: float, forward: float = 0.0) -> Camera:
    return CAMERA.at(pose_from(torch.tensor([right, 0.0, forward])))


def shifted(rgb: torch.Tensor, pixels: int) -> torch.Tensor:
    """What a camera further right sees of a wall: it moves to the left, and black comes in."""
    return F.pad(rgb[..., pixels:], (0, pixels))


PLANE = torch.full((HEIGHT, WIDTH), 2.0)
PIXEL = 2.0 / float(CAMERA.focal)  # how far a camera goes for one pixel of parallax at depth 2


def small_model() -> ViewSynthesizer:
    refiner = SpadeConfig((4 + 1, COLOUR_CHANNELS), 4, (8, 8), 8, upscale=2)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return ViewSynthesizer(SynsinConfig(4, (8,), UNetConfig(3, 2, (8, 16)), refiner)).eval()


def small_pipeline() -> ViewsPipeline:
    return ViewsPipeline(small_model(), torch.device("cpu"))


# Baselines


def test_a_wall_moves_by_its_parallax():
    rgb, other = smooth(0), moved(5 * PIXEL)
    seen = splat(rgb, PLANE, CAMERA, other)
    assert torch.allclose(seen.features[0], shifted(rgb, 5), atol=1e-4)
    visible = Pair(rgb, rgb, CAMERA, other, PLANE).visible()
    assert visible[..., :-5].all() and not visible[..., -4:].any()
    # By true depth, where it is known: twice as far is half the parallax.
    visible = Pair(rgb, rgb, CAMERA, moved(6 * PIXEL), PLANE, truth=2 * PLANE).visible()
    assert visible[..., :-3].all() and not visible[..., -2:].any()


def test_the_sky_stays_where_it_is():
    rgb = smooth(0)
    seen = splat(rgb, torch.full_like(PLANE, torch.inf), CAMERA, moved(0.3, 0.3))
    assert float((seen.features[0] - rgb).abs().mean()) < 1e-3


def test_every_method_shows_what_it_says():
    pipeline, rgb = small_pipeline(), smooth(1)
    found = methods.pictures(pipeline, Pair(rgb, shifted(rgb, 5), CAMERA, moved(5 * PIXEL), PLANE))
    assert list(found) == list(METHODS) and all(picture.dtype == torch.uint8 for picture in found.values())
    levels = (rgb * 255).round().to(torch.uint8)
    assert torch.equal(found[COPY], levels)
    assert (found[WARP][..., :-5].int() - levels[..., 5:].int()).abs().max() <= 1
    assert not found[WARP][..., -5:].any() and found[INPAINT][..., -5:].float().mean() > 20
    assert torch.equal(found[INPAINT][..., :-5], found[WARP][..., :-5])
    assert not torch.equal(found[VIEWS], found[INPAINT])


def test_the_better_inpainting_counts(monkeypatch):
    target = smooth(2)

    def paint(pixels, holes, radius, way):
        grey = 200 if way == cv2.INPAINT_NS else 100
        pixels = pixels.copy()
        pixels[holes > 0] = grey
        return pixels

    monkeypatch.setattr(cv2, "inpaint", paint)
    for level in (100, 200):
        pair = Pair(target, torch.full_like(target, level / 255), CAMERA, moved(5 * PIXEL), PLANE)
        assert (methods.pictures(small_pipeline(), pair)[INPAINT][..., -4:] == level).all()


# Scale


def test_golden_section():
    assert methods.golden_section(lambda x: (x - 1.234) ** 2, 0, 3, 30) == pytest.approx(1.234, abs=1e-5)
    assert methods.golden_section(lambda x: x, 0, 1, 30) == pytest.approx(0, abs=1e-5)


def test_two_cameras_apart_by_a_unit():
    far = CAMERA.at(pose_from(torch.tensor([30.0, -7.0, 12.0]), yaw=0.3, pitch=0.1))
    near = CAMERA.at(pose_from(torch.tensor([30.0, -7.0, 10.0]), yaw=0.1))
    camera, other = seen_from(near, far, 4.0)
    assert torch.equal(camera.cam_from_world, torch.eye(4))
    assert float(other.centre.norm()) == pytest.approx(0.5, abs=1e-5)
    turn = far.cam_from_world[:3, :3] @ near.cam_from_world[:3, :3].T
    assert torch.allclose(other.cam_from_world[:3, :3], turn, atol=1e-6)


@pytest.mark.parametrize("unit", [0.05, 3.7])
def test_the_unit_of_length_is_found(unit):
    rgb = smooth(3)
    camera, other = (CAMERA.at(pose_from(unit * torch.tensor([x, 0.0, 0.0]))) for x in (10.0, 10.0 + 6 * PIXEL))
    found = fitted_unit(rgb, shifted(rgb, 6) + F.pad(rgb[..., -6:], (WIDTH - 6, 0)), PLANE, camera, other)
    assert found == pytest.approx(unit, rel=0.04)


# Pairs


def wall_clip(tmp_path, count: int, unit: float) -> PosedClip:
    """A camera that goes along a wall at depth 2, one pixel a frame; its file counts in ``unit``."""
    wide = smooth(4, HEIGHT, WIDTH + 2 * count)
    rgb = torch.stack([(wide[..., k : k + WIDTH] * 255).round().to(torch.uint8) for k in range(count)])
    cameras = [CAMERA.at(pose_from(unit * torch.tensor([k * PIXEL, 0.0, 0.0]))) for k in range(count)]
    return PosedClip(tmp_path / "wall", rgb, cameras, [f"{k:03d}.png" for k in range(count)])


def test_the_fitted_frames_are_not_measured():
    for plan in (RE10K, FOX):
        for gap in plan.gaps:
            pairs = plan.pairs(gap)
            assert {abs(a - b) for a, b in pairs} == {gap} and {(b, a) for a, b in pairs} == set(pairs)
            assert not {frame for pair in pairs for frame in pair} & set(plan.fit)
            assert max(map(max, pairs)) < plan.length
    assert RE10K.length == 25


def test_pairs_of_a_clip_share_one_unit(tmp_path):
    clip = wall_clip(tmp_path, 25, unit=3.0)
    asked = []

    def depth(rgb):
        asked.append(rgb)
        return PLANE

    found = pairs_of_clip(clip, RE10K, depth)
    assert found.unit == pytest.approx(3.0, rel=0.05)
    assert list(found.by_gap) == [5, 10] and [len(pairs) for pairs in found.by_gap.values()] == [6, 6]
    assert len(asked) == 10  # each frame once
    pair = found.by_gap[5][0]
    assert torch.equal(pair.source, clip.frame(0)) and torch.equal(pair.target, clip.frame(5))
    assert float(pair.other.centre[0]) == pytest.approx(5 * PIXEL, rel=0.05)
    back = found.by_gap[5][3]
    assert torch.equal(back.source, clip.frame(5)) and float(back.other.centre[0]) < 0
    warp = splat(pair.source, pair.depth, pair.camera, pair.other).features[0]
    assert float((warp - pair.target)[..., :-6].abs().mean()) < 0.01
    with pytest.raises(ValueError, match="24 frames, expected at least 25"):
        pairs_of_clip(wall_clip(tmp_path, 24, 1.0), RE10K, depth)


def test_pairs_of_a_place_have_true_scale():
    depth = torch.linspace(4.0, 8.0, HEIGHT * WIDTH).view(HEIGHT, WIDTH)
    depth[0] = torch.inf
    near = float(depth[depth.isfinite()].quantile(0.1))
    place = Views(torch.stack([smooth(k) for k in range(3)]), depth.expand(3, -1, -1), [moved(x) for x in (9, 10, 7)])
    pairs = pairs_of_place(place, lambda rgb: PLANE)
    assert [float(pair.other.centre[0]) for pair in pairs] == pytest.approx([1 / near, -2 / near], rel=1e-4)
    for pair, target in zip(pairs, place.rgb[1:], strict=True):
        assert torch.equal(pair.target, target) and torch.equal(pair.source, place.rgb[0])
        truth = pair.truth[pair.truth.isfinite()]
        assert float(truth.quantile(0.1)) == pytest.approx(1, abs=1e-4)


# Scores


def test_figures_of_a_pair_by_hand():
    rgb = (smooth(5) * 255).round() / 255
    pair = Pair(rgb, rgb, CAMERA, moved(8 * PIXEL), PLANE)
    worse = rgb.clone()
    worse[..., -8:] = (rgb[..., -8:] + 0.1).where(rgb[..., -8:] < 0.5, rgb[..., -8:] - 0.1)
    pictures = {name: (rgb * 255).round().to(torch.uint8) for name in METHODS}
    pictures[WARP] = (worse * 255).round().to(torch.uint8)
    judged = judge(pair, pictures)
    assert judged.visible == pytest.approx(40 / 48, abs=0.03)
    copy, warp = judged.rows[COPY], judged.rows[WARP]
    assert copy["PSNR"] == copy["PSNR, visible"] == copy["PSNR, invisible"] == 100 and copy["SSIM"] == 1
    assert warp["PSNR, visible"] > 38 and warp["PSNR, invisible"] == pytest.approx(20, abs=0.3)
    assert warp["PSNR"] == pytest.approx(-10 * math.log10(0.01 * 8 / 48), abs=0.3)
    assert warp["SSIM, invisible"] < warp["SSIM"] < warp["SSIM, visible"]
    # Where all is visible, nothing is said about the rest, and means leave it out.
    still = judge(Pair(rgb, rgb, CAMERA, CAMERA, PLANE), pictures)
    assert math.isnan(still.rows[COPY]["PSNR, invisible"]) and still.visible == 1
    rows = summary([judged, still])
    assert rows[WARP]["PSNR, invisible"] == warp["PSNR, invisible"]
    assert rows[WARP]["PSNR"] == pytest.approx((warp["PSNR"] + still.rows[WARP]["PSNR"]) / 2)
    assert rows[WARP]["SWD"] > rows[COPY]["SWD"] > 0
    assert "SWD" not in summary([judged], textures=False)[COPY]


def test_depth_is_judged_up_to_scale():
    truth = 1 + 3 * smooth(6)[0]
    truth[0] = torch.inf

    def figures(depth):
        return depth_figures(Pair(smooth(6), smooth(6), CAMERA, CAMERA, depth, truth))

    same = figures(torch.where(truth.isinf(), 5.0, 0.3 * truth))
    assert same["log error"] == pytest.approx(0, abs=1e-4) and same["delta < 1.25"] == 1
    stripes = torch.arange(WIDTH) % 4 == 0
    wrong = figures(torch.where(stripes, 2 * truth, truth))
    # A quarter is wrong by log 2: the deviation of such a coin is log 2 * sqrt(1/4 * 3/4).
    assert wrong["log error"] == pytest.approx(math.log(2) * math.sqrt(3) / 4, abs=1e-4)
    assert wrong["delta < 1.25"] == pytest.approx(0.75)


# Speed


def test_speed_names_every_part(monkeypatch):
    monkeypatch.setattr(cost, "TIMED", 2)
    monkeypatch.setattr(cost, "FILM", 6)
    found = cost.speed(small_pipeline(), smooth(7))
    assert list(found["ms"]) == ["depth", "lift", "render", "refine", "rest of the loop"]
    assert min(found["ms"].values()) > 0 and found["peak MiB"] > 10
    # A photo and six frames: what comes once, and more than five times what the second frame took.
    assert found["seconds"] > 5 / found["frames per second"] > 0


# The command


def test_targets_compare_with_the_best_baseline():
    rows = {method: {"PSNR": 10.0 + k, "SSIM": 0.5 - 0.1 * k} for k, method in enumerate(METHODS)}
    found = job.targets({job.WORLDS: rows}, {"street": {"worst": 41.0}}, {"seconds": 61.0})
    by_name = {target.name: target for target in found}
    assert by_name["PSNR above the best baseline's, held-out worlds"].value == 1 and found[-2].met
    worse = by_name["SSIM above the best baseline's, held-out worlds"]
    assert worse.value == pytest.approx(-0.3) and not worse.met and not found[-1].met
    assert math.isnan(by_name["PSNR above the best baseline's, real clips, 5 frames apart"].value)


def test_bad_input_is_one_line(tmp_path, capsys):
    small_model().save_pretrained(tmp_path / "model")
    (tmp_path / "there.json").write_text("{}")
    good = ["views", "--weights", tmp_path / "model"]
    for words, part in (
        (["view"], "did you mean views"),
        ([*good, "--json", tmp_path / "there.json"], "exists"),
        ([*good, "--sheet", tmp_path / "no/sheet.png"], "there is no folder"),
        (["views", "--weights", tmp_path], "no such file"),
        ([*good, "--data", tmp_path], "with posed/re10k_clips in it"),
        ([*good, "--places", "0"], "expected a whole number from 1 on"),
    ):
        assert main(["evaluate", *map(str, words)]) == 2, words
        err = capsys.readouterr().err
        assert err.count("\n") == 1 and part in err, err


def test_the_command_measures_small_clips_and_worlds(tmp_path, monkeypatch, capsys):
    def place(seed, index, height, width):
        rgb = torch.stack([smooth(10 * index + k) for k in range(3)])
        return Views(rgb, PLANE.expand(3, -1, -1), [moved(k * PIXEL) for k in range(3)])

    monkeypatch.setattr(view_set, "render_views", place)
    for module, name, value in (
        (plans, "WORLD_SIZE", (HEIGHT, WIDTH)),
        (job, "SHORT_SIDE", HEIGHT),
        (job, "SPEED_SIZE", (HEIGHT, WIDTH)),
        (job, "TILE", (HEIGHT, WIDTH)),
        (cost, "TIMED", 2),
    ):
        monkeypatch.setattr(module, name, value)
    worlds = view_set.ViewSet(tmp_path, 3, height=HEIGHT, width=WIDTH, seed=plans.HELD_OUT_SEED)
    for index in range(3):
        worlds._make_one(index)  # here, not in processes of their own
    clip = wall_clip(tmp_path, 25, 2.0)
    folder = tmp_path / "data/posed/re10k_clips/wall"
    (folder / "images").mkdir(parents=True)
    write_cameras(folder / "cameras.txt", Track(clip.cameras))
    for name, rgb in zip(clip.names, clip.rgb, strict=True):
        write_png(folder / "images" / name, rgb)
    small_model().save_pretrained(tmp_path / "model")
    words = ["--weights", "model", "--data", "data", "--cache", ".", "--json", "all.json", "--sheet", "all.png"]
    monkeypatch.chdir(tmp_path)
    assert main(["evaluate", "views", "--places", "1", *words]) == 0
    text = capsys.readouterr().out
    assert "real clips, 5 frames apart: 6 pairs of 32x48" in text and "targets:" in text
    report = json.loads((tmp_path / "all.json").read_text())
    assert set(report["quality"]) == {
        *("real clips, 5 frames apart", "real clips, 10 frames apart", "real clips"),
        *("street", "landscape", "interior", "held-out worlds"),
    }
    rows = report["pairs"]["real clips, 5 frames apart"] + report["pairs"]["real clips, 10 frames apart"]
    mean = sum(row["views"]["PSNR"] for row in rows) / 12
    assert report["quality"]["real clips"]["views"]["PSNR"] == pytest.approx(mean)
    assert report["clips"]["wall"]["PSNR views"] == pytest.approx(mean)
    assert len(report["targets"]) == 8 and all(target["met"] is not None for target in report["targets"])
    assert len(report["weights"]["views"]) == 64
    picture = read_image(tmp_path / "all.png")
    assert picture.shape[2] == 6 * WIDTH and picture.shape[1] > 10 * HEIGHT
