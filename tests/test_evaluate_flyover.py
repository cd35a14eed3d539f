"""`viewsynth evaluate flyover`: true flights, the baselines, drift, returns, charts, photos, the command."""

from __future__ import annotations

import json
import math

import pytest
import torch
from torch.nn import functional as F

from infinite_view.flight import KEYFRAME_EVERY, Frame, flight
from infinite_view.refiner import Refiner, RefinerConfig
from infinite_view.scene import Scene
from pipelines.errors import InputError
from pipelines.evaluation import flight_chart, flight_methods, flight_return, flight_speed, flight_worlds
from pipelines.evaluation import flight_drift as drift
from pipelines.evaluation import flyover as job
from pipelines.evaluation.flight_methods import (
    FLYOVER,
    FORGETFUL,
    INPAINT,
    LOOP,
    METHODS,
    WARP,
    Inpainter,
    along,
    judged_steps,
)
from pipelines.evaluation.flight_photos import Choice
from pipelines.evaluation.flight_worlds import TrueFlight, TrueFlights
from pipelines.flyover import DEMO, FlyoverPipeline
from pipelines.media.images import read_image, write_png
from pipelines.worlds import World
from render_refine.camera import Camera, pose_from
from render_refine.spade import SpadeConfig, StyleConfig

HEIGHT, WIDTH = 32, 48
FOV = math.radians(60)
CAMERA = Camera.from_fov(HEIGHT, WIDTH, FOV)
TINY = RefinerConfig(SpadeConfig((11,), 8, (8, 8), 8, style_dim=4), StyleConfig(4, (8, 8), style_dim=4, grid=(1, 1)))


def smooth(seed: int, height: int = HEIGHT, width: int = WIDTH) -> torch.Tensor:
    """A picture of soft blobs, (3, H, W), at 8 bits."""
    coarse = torch.rand(1, 3, height // 4, width // 4, generator=torch.Generator().manual_seed(seed))
    picture = F.interpolate(coarse, (height, width), mode="bicubic", align_corners=False)[0].clamp(0, 1)
    return (picture * 255).round() / 255


@pytest.fixture(scope="module")
def refiner() -> Refiner:
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        return Refiner(TINY).eval()


@pytest.fixture(scope="module")
def pipeline(refiner) -> FlyoverPipeline:
    def depth(rgb):
        """Ground below a sky."""
        down = Camera.from_fov(*rgb.shape[-2:], FOV).rays()[..., 1]
        return torch.where(down > 0.05, 0.5 / down.clamp_min(1e-6), torch.inf)

    return FlyoverPipeline(depth, refiner, torch.device("cpu"))


# True flights


def test_the_way_is_the_autopilots_and_the_frames_are_the_worlds(tmp_path, monkeypatch):
    monkeypatch.setattr(flight_worlds, "STEPS", (1, 2))
    monkeypatch.setattr(flight_worlds, "LAST", 2 * KEYFRAME_EVERY)
    flights = TrueFlights(tmp_path, 1, HEIGHT, WIDTH)
    flights._make_one(0)
    item = flights[0]
    generator = torch.Generator().manual_seed(flight_worlds.HELD_OUT_SEED)
    world = World.random(generator)
    assert len(item.cameras) == 2 * KEYFRAME_EVERY + 1
    for k, at in enumerate((0, KEYFRAME_EVERY, 2 * KEYFRAME_EVERY)):
        frame = world.render(item.cameras[at], antialias=True)
        assert (frame.rgb - item.rgb[k]).abs().max() <= 0.5 / 255 + 1e-6
        assert torch.equal(frame.depth, item.depth[k])
    # It goes on and ahead, and its steps are those that the autopilot would do in that picture.
    scene = Scene.of(item.depth[0], 2 * math.atan(0.5 * WIDTH / float(item.cameras[0].focal)))
    ahead = (item.cameras[-1].centre - item.cameras[0].centre) @ item.cameras[0].world_from_cam[:3, 2]
    steps = float(ahead) * 240 / scene.travel / (2 * KEYFRAME_EVERY)
    assert 0.2 < steps < 1.7
    assert flight_worlds.clear(world, item.cameras)
    low = item.cameras[-1].at(pose_from(torch.tensor([0.0, 5.0, 0.0])))
    assert not flight_worlds.clear(world, [*item.cameras, low])


def wall_flight(monkeypatch, pixels: int) -> TrueFlight:
    """A camera that goes along a wall by so many pixels of parallax in one step; the file counts in metres."""
    monkeypatch.setattr(flight_worlds, "STEPS", (1,))
    monkeypatch.setattr(flight_methods, "STEPS", (1,))
    wide, metres = smooth(0, HEIGHT, WIDTH + 16), 7.0
    shift = pixels * metres / float(CAMERA.focal) / KEYFRAME_EVERY
    home = pose_from(torch.tensor([100.0, -3.0, 40.0]), yaw=0.7)
    cameras = [CAMERA.at(pose_from(torch.tensor([k * shift, 0.0, 0.0])) @ home) for k in range(KEYFRAME_EVERY + 1)]
    rgb = torch.stack([wide[..., :WIDTH], wide[..., pixels : pixels + WIDTH]])
    return TrueFlight(rgb, torch.full((2, HEIGHT, WIDTH), metres), cameras)


def test_every_method_is_judged_against_the_true_frame(monkeypatch, pipeline):
    (judged,) = judged_steps(pipeline, wall_flight(monkeypatch, 8))
    assert set(judged.pictures) == set(METHODS)
    # The photo shows all but the last eight columns, and there all see the truth.
    assert judged.pair.visible()[0, :, :-8].all() and not judged.pair.visible()[0, :, -8:].any()
    for method in (WARP, INPAINT, LOOP, FLYOVER):
        assert judged.rows[method]["PSNR, visible"] > 38, method
    assert not judged.pictures[WARP][..., -7:].any()
    for method in (INPAINT, LOOP, FORGETFUL, FLYOVER):
        assert judged.pictures[method][..., -7:].float().mean() > 40, method
    assert judged.rows[INPAINT]["PSNR, invisible"] > judged.rows[WARP]["PSNR, invisible"] + 3
    assert not torch.equal(judged.pictures[LOOP], judged.pictures[FLYOVER])


def test_the_inpainter_leaves_alone_what_is_known():
    rgb, depth = smooth(1), torch.full((HEIGHT, WIDTH), 2.0)
    aside = CAMERA.at(pose_from(torch.tensor([6 * 2.0 / float(CAMERA.focal), 0.0, 0.0])))
    cameras = [CAMERA, *[aside] * KEYFRAME_EVERY]
    painted, plain = (
        list(flight(rgb, depth, CAMERA, along(cameras), len(cameras), refiner=refiner))[-1].rgb
        for refiner in (Inpainter(), None)
    )
    assert torch.allclose(painted[..., :-6], plain[..., :-6], atol=1.1 / 255)
    assert (painted[..., -5:] - plain[..., -5:]).abs().max() > 2 / 255
    assert (painted[..., -1] - painted[..., -8]).abs().mean() < 0.3


# Drift


@pytest.mark.parametrize("frames", [20, 33, 200, 1000])
def test_windows_cover_a_flight(frames):
    parts = drift.windows(frames)
    assert [k for first, end in parts for k in range(first, end)] == list(range(frames))
    samples = drift.sampled(frames)
    assert len({len(one) for one in samples}) == 1 and len(samples[0]) == min(5, frames // 20)
    assert all(first <= k < end for (first, end), one in zip(parts, samples, strict=True) for k in one)
    assert all(len(set(one)) == len(one) for one in samples)
    if frames == 1000:
        assert parts[drift.EARLY] == (50, 100) and parts[drift.LATE] == (950, 1000)


def test_the_horizon():
    for roll in (0.0, 0.2, -1.0, 3.0):
        camera = CAMERA.at(pose_from(torch.tensor([3.0, 1.0, 2.0]), yaw=2.0, pitch=-0.6, roll=roll))
        assert drift.roll(camera) == pytest.approx(abs(roll), abs=1e-5)


def flown(count: int, fade: float, near: float = 0.0):
    """A flight that loses contrast from frame to frame, and comes near to things halfway."""
    sky = torch.arange(HEIGHT)[:, None].expand(HEIGHT, WIDTH) < 8
    for k in range(count):
        contrast = 1 - fade * k / (count - 1)
        depth = torch.full((HEIGHT, WIDTH), 3.0)
        depth[: int(near * HEIGHT) if k == count // 2 else 0] = 0.5
        rgb = 0.5 + (smooth(7) - 0.5) * contrast
        yield Frame(rgb, torch.where(sky & (depth > 1), torch.inf, depth), CAMERA)


def test_a_record_says_what_happened():
    found = drift.record(flown(40, 0.5, near=0.75), 40, 1.0, [1, 40], (HEIGHT, WIDTH))
    frames = list(flown(40, 0.5))
    assert torch.equal(found.shown[40], (frames[-1].rgb * 255).round().to(torch.uint8))
    assert torch.equal(found.samples[3, 0], (frames[6].rgb * 255).round().to(torch.uint8))
    near = found.curves[drift.NEAR]
    assert float(near[20]) == 0.75 and float(near.sum()) == 0.75
    assert float(found.curves[drift.SKY][0]) == 0.25
    row = drift.summary({"it": found})["it"]
    assert row["near, most"] == 0.75 and row["frames too near"] == 1 and row["roll, most"] == 0
    # Laplacian energy goes with the square of the contrast: frames 2, 3 and 38, 39.
    contrast = [1 - 0.5 * k / 39 for k in (2, 3, 38, 39)]
    late = (contrast[2] ** 2 + contrast[3] ** 2) / (contrast[0] ** 2 + contrast[1] ** 2)
    assert row["detail, late / early"] == pytest.approx(late, rel=0.03)
    assert math.isnan(row["memory growth"]) and row["sky, late - early"] == 0
    shift = found.curves[drift.COLOUR]
    assert float(shift[0]) == 0 and float(shift[39]) > float(shift[20]) > float(shift[10]) > 0


def test_the_colour_shift_is_in_lab():
    levels = (0.5, 0.8)
    stream = (
        Frame(torch.full((3, HEIGHT, WIDTH), levels[k > 0]), torch.ones(HEIGHT, WIDTH), CAMERA) for k in range(20)
    )
    found = drift.record(stream, 20, 0.1, [], (HEIGHT, WIDTH))

    def lightness(level):
        """CIE L* of a grey, from the standard's formulas."""
        linear = ((round(level * 255) / 255 + 0.055) / 1.055) ** 2.4
        return 116 * linear ** (1 / 3) - 16

    assert float(found.curves[drift.COLOUR][-1]) == pytest.approx(lightness(0.8) - lightness(0.5), abs=0.02)


def test_textures_that_dissolve_are_found():
    references = (smooth(7) * 255).round().to(torch.uint8)[None].expand(2, -1, -1, -1)
    steady = [drift.record(flown(20, 0.0), 20, 1.0, [], (HEIGHT, WIDTH)) for _ in range(3)]
    assert drift.late_over_early(drift.texture_curve(steady, references)) == pytest.approx(1, abs=0.05)
    noise = torch.rand(3, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(0))

    def dissolving():
        for k, frame in enumerate(flown(20, 0.0)):
            yield Frame(torch.lerp(frame.rgb, noise, k / 19), frame.depth, frame.camera)

    found = [drift.record(dissolving(), 20, 1.0, [], (HEIGHT, WIDTH)) for _ in range(3)]
    curve = drift.texture_curve(found, references)
    assert drift.late_over_early(curve) > 1.25
    rows = drift.curve_rows({str(k): one for k, one in enumerate(found)}, curve)
    assert list(rows)[:2] == ["frames 1..1", "frames 2..2"] and rows["frames 20..20"][drift.TEXTURE] == curve[-1]
    assert rows["frames 2..2"][drift.DETAIL_RATIO] == 1


def test_memory_grows_after_it_settled():
    memory = torch.cat([torch.linspace(100, 200, 200), torch.linspace(200, 230, 200)]).double()
    record = drift.Record({drift.MEMORY: memory}, torch.empty(0), {})
    assert drift.growth(record) == pytest.approx(0.15)
    assert math.isnan(drift.growth(drift.Record({drift.MEMORY: memory[:399]}, torch.empty(0), {})))


# Returns


def test_two_ways_part_and_meet():
    scene = Scene(FOV, travel=10.0, subject=5.0, height=1.0, heading_pitch=0.1)
    left, right = (
        [flight_return.on_the_way(scene, way, k).camera(HEIGHT, WIDTH) for k in range(flight_return.LEG)]
        for way in (0, 1)
    )
    assert torch.equal(left[0].cam_from_world, torch.eye(4)) and torch.equal(right[0].cam_from_world, torch.eye(4))
    middle = flight_return.LEG // 2
    assert float(left[middle].centre[0]) < -0.3 and float(right[middle].centre[0]) > 0.3
    assert torch.allclose(left[middle].centre[1:], right[middle].centre[1:], atol=1e-5)
    shared = slice(-flight_return.SHARED, None)
    for a, b in zip(left[shared], right[shared], strict=True):
        assert torch.allclose(a.cam_from_world, b.cam_from_world, atol=1e-6)
    assert (left[-1].centre - left[-flight_return.SHARED].centre).norm() > 0.2


def test_memory_returns_and_forgetting_does_not(monkeypatch, pipeline):
    for name, value in (("OUT_AND_BACK", 25), ("LOOP", 16), ("LEG", 17), ("AGAIN", 2)):
        monkeypatch.setattr(flight_return, name, value)
    plain = FlyoverPipeline(pipeline.estimate_depth, None, pipeline.device)
    row = flight_return.returns(pipeline, plain, smooth(3))
    assert row["PSNR, memory"] > row["PSNR, no memory"] + 6
    assert row["loop, gap in levels"] == 0 and row["loop, PSNR of round two"] > 30
    assert 28 < row["two ways, PSNR"] <= 100


# Charts


def test_a_chart_shows_a_curve_where_it_is():
    picture = flight_chart.chart("detail", [0, 50, 100], {"a": [1.0, math.nan, 1.0]}, limits=[0.5])
    assert picture.shape == (3, flight_chart.HEIGHT, flight_chart.WIDTH)
    level = flight_chart.chart("detail", [0, 50, 100], {"a": [1.0, 1.0, 1.0]}, limits=[0.5]).int()
    blue = (level[2] - level[0] > 80).float()
    red = (level[0] - level[1] > 80).float()
    inner = slice(flight_chart.LEFT + 2, flight_chart.WIDTH - flight_chart.RIGHT - 2)
    assert (blue[:, inner].amax(dim=0) == 1).all() and (red[:, inner].amax(dim=0) == 1).all()
    tall = flight_chart.HEIGHT - flight_chart.TOP - flight_chart.BOTTOM
    for mask, value in ((blue, 1.0), (red, 0.5)):
        row = mask[:, inner].nonzero()[:, 0].float().mean()
        assert float(row) == pytest.approx(flight_chart.HEIGHT - flight_chart.BOTTOM - value / 1.06 * tall, abs=1)
    gap = (picture[2].int() - picture[0].int() > 80)[:, inner]
    assert not gap[:, 20:-20].any()


@pytest.mark.parametrize(("low", "high"), [(0, 1), (0, 1193.4), (-0.3, 0.2), (0, 7e-5), (5, 5)])
def test_ticks_are_few_and_inside(low, high):
    ticks = flight_chart.nice_ticks(low, high)
    assert 1 <= len(ticks) <= 6
    assert all(low - 1e-9 <= tick <= high + 1e-9 for tick in ticks)


# The photos


def photo_folder(folder, licensed: int, others: int):
    folder.mkdir(parents=True)
    rows = [("file", "licence")]
    for k in range(licensed):
        rows.append((f"b{k}.png", "CC0-1.0"))
    for k in range(others):
        rows.append((f"a{k}.png", "unknown"))
    for k, (name, _) in enumerate(rows[1:]):
        write_png(folder / name, smooth(k))
    (folder / "manifest.csv").write_text("\n".join(",".join(row) for row in rows))


def test_photos_are_chosen_by_name(tmp_path):
    photo_folder(tmp_path / "landscape_photos", 7, 2)
    choice = Choice.of(tmp_path, 3)
    assert [path.name for path in choice.flown] == ["b0.png", "b5.png", "a0.png"]
    assert [path.name for path in choice.references] == ["a1.png", "b1.png", "b2.png", "b3.png", "b4.png", "b6.png"]
    pictures = choice.reference_pictures(16, 16)
    assert pictures.shape == (6, 3, 16, 16) and pictures.dtype == torch.uint8
    with pytest.raises(InputError, match="found 4 photos that no model was trained on, wanted 5"):
        Choice.of(tmp_path, 5)
    with pytest.raises(InputError, match="with landscape_photos in it"):
        Choice.of(tmp_path / "landscape_photos", 1)
    assert Choice.of(None, 3) == Choice([DEMO], []) and Choice.of(None, 3).reference_pictures(16, 16) is None


def test_the_refiner_was_not_trained_on_the_real_choice(data_dir, root):
    choice = Choice.of(data_dir, 10)
    card = (root / "pipelines/weights/refiner/README.md").read_text()
    assert len(choice.flown) == 10 and not [path for path in choice.flown if f"`{path.name}`" in card]


# The command


def test_targets_compare_with_the_best_baseline(monkeypatch):
    rows = {method: {"PSNR": 10.0 + k, "SSIM": 0.5, "SWD": 100.0 - 2 * k} for k, method in enumerate(METHODS)}
    flights = {
        "a": {"detail, late / early": 0.6, "roll, most": 0.0, "frames too near": 2, "memory growth": math.nan},
        "b": {"detail, late / early": 1.1, "roll, most": 0.1, "frames too near": 0, "memory growth": math.nan},
    }
    back = {"PSNR, memory": 40.0, "PSNR, no memory": 35.0, "loop, gap in levels": 0.0, "two ways, PSNR": 29.0}
    costs = {"160x256": {"frames per second": 7.9}, "256x448": {"frames per second": 4.0}}
    worlds = {f"{step} steps": rows for step in (5, 20, 50)}
    found = {one.name: one for one in job.targets(costs, worlds, {"a": back, "mean": back}, flights, [1.0, 2.0] * 10)}
    assert len(found) == 9 + 10 + 2
    # The loop's own row counts two above the best of the first three, which is the third.
    assert found["PSNR above the best baseline's after 20 steps"].value == 2
    assert found["PSNR above the best baseline's after 20 steps"].limit == 1
    assert found["SSIM above the best baseline's after 5 steps"].value == 0
    assert found["SWD over the best baseline's after 50 steps"].value == pytest.approx(92 / 96)
    assert found["SWD to real photos, late / early"].value == 1 and found["horizon roll, degrees"].value == 0.1
    assert not found["detail, late / early, lowest of all flights"].met
    assert found["detail, late / early, highest of all flights"].met and not found["frames too near"].met
    assert "not measured" in found["memory growth after frame 200"].line()
    assert not found["out and back, PSNR above no memory"].met and found["two ways to one place, PSNR"].met
    assert not found["frames per second at 160x256"].met and found["frames per second at 256x448"].met


def test_bad_input_is_refused_before_the_work(tmp_path):
    (tmp_path / "there.json").write_text("{}")
    photo_folder(tmp_path / "few/landscape_photos", 2, 0)
    for words, part in (
        (["--json", tmp_path / "there.json"], "exists"),
        (["--plots", tmp_path / "no/plots.png"], "there is no folder"),
        (["--frames", "19"], "expected at least 20"),
        (["--data", tmp_path], "with landscape_photos in it"),
        (["--data", tmp_path / "few"], "found 1 photos that no model was trained on, wanted 10"),
        (["--photos", "0"], "expected a whole number from 1 on"),
        (["--weights", tmp_path], "no such file"),
    ):
        with pytest.raises(InputError, match=part):
            job.main([str(word) for word in words])


def test_the_command_measures_small_flights(tmp_path, monkeypatch, refiner, capsys):
    wall = wall_flight(monkeypatch, 8)
    monkeypatch.setattr(flight_worlds, "render_flight", lambda index, height, width: wall)
    for module, name, value in (
        (job, "STEPS", (1,)),
        (job, "SIZE", (HEIGHT, WIDTH)),
        (job, "SPEEDS", {(HEIGHT, WIDTH): 1.0}),
        (job, "RETURNING", 1),
        (flight_speed, "FLOWN", 5),
        (flight_return, "OUT_AND_BACK", 5),
        (flight_return, "LOOP", 4),
        (flight_return, "AGAIN", 1),
        (flight_return, "LEG", 10),
    ):
        monkeypatch.setattr(module, name, value)
    photo_folder(tmp_path / "data/landscape_photos", 6, 1)
    refiner.save_pretrained(tmp_path / "model")
    monkeypatch.chdir(tmp_path)
    TrueFlights(tmp_path, 1, HEIGHT, WIDTH)._make_one(0)  # here, not in a process of its own
    words = ["--weights", "model", "--data", "data", "--cache", ".", "--worlds", "1", "--photos", "2", "--frames", "22"]
    words += ["--flight-size", f"{HEIGHT}x{WIDTH}"]
    job.main([*words, "--json", "all.json", "--sheet", "all.png", "--plots", "plots.png"])
    text = capsys.readouterr().out
    assert "1 held-out worlds of 32x48 after 1 steps, 83% visible" in text and "targets:" in text
    report = json.loads((tmp_path / "all.json").read_text())
    assert report["photos"] == ["b0.png", "b5.png"] and set(report["flights"]) == {"b0", "b5"}
    assert set(report["worlds"]["1 steps"]) == set(METHODS) and len(report["curves"]) == 20
    assert set(report["out and back"]) == {"b0", "mean"}
    curve = [row["SWD"] for row in report["curves"].values()]
    target = next(one for one in report["targets"] if one["name"] == "SWD to real photos, late / early")
    assert target["value"] == pytest.approx(curve[-1] / curve[1])
    assert report["speed"]["32x48"]["ms per frame"]["memory, read"] > 0 and len(report["weights"]["refiner"]) == 64
    picture = read_image(tmp_path / "all.png")
    assert picture.shape[2] == 7 * job.SMALL_TILE[1]
    assert picture.shape[1] == 2 * 16 + 2 * job.TILE[0] + job.SMALL_TILE[0]
    assert read_image(tmp_path / "plots.png").shape == (3, 3 * flight_chart.HEIGHT, 2 * flight_chart.WIDTH)
