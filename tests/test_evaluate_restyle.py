"""`viewsynth evaluate restyle`: the held-out cases, the real camera and clips, the report, the command."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch.nn import functional as F

from pipelines.cli import main
from pipelines.errors import InputError
from pipelines.evaluation import restyle as job
from pipelines.evaluation import restyle_clips as clips
from pipelines.evaluation import restyle_night as night
from pipelines.evaluation import restyle_speed as cost
from pipelines.evaluation import restyle_worlds as worlds
from pipelines.evaluation import speed
from pipelines.evaluation.restyle_clips import Clip
from pipelines.evaluation.restyle_methods import HISTOGRAM, REFERENCE, REINHARD, RESTYLE, TRUE, UNCHANGED
from pipelines.evaluation.restyle_night import NIGHT_PHOTOS, Camera, evenly, hour_of, measured_nights
from pipelines.evaluation.restyle_targets import targets
from pipelines.evaluation.restyle_worlds import cases, true_reference
from pipelines.evaluation.takes import SINGLE
from pipelines.looks import HOURS
from pipelines.media.images import read_image
from pipelines.training import light_set
from pipelines.training.light_set import Lights, LightSet
from pipelines.training.photo_set import free_photos
from pipelines.training.world_set import HELD_OUT_SEED
from render_refine.spade import SpadeConfig
from vid2vid.classes import CLASSES
from vid2vid.restyler import MAP_CHANNELS, Restyler, RestylerConfig

SKY, ROAD, BUILDING, SNOW = (CLASSES.index(name) for name in ("sky", "road", "building", "snow"))
HEIGHT, WIDTH = 48, 64
EVERYWHERE = torch.ones(HEIGHT, WIDTH, dtype=torch.bool)


def soft(seed: int, height: int = HEIGHT, width: int = WIDTH) -> torch.Tensor:
    """A picture of soft blobs, (3, H, W) in 8 bits."""
    coarse = torch.rand(1, 3, height // 4, width // 4, generator=torch.Generator().manual_seed(seed))
    rgb = F.interpolate(coarse, (height, width), mode="bicubic", align_corners=False)[0].clamp(0, 1)
    return (rgb * 255).round() / 255


class Darker:
    """A pipeline whose pictures are as dark as their style says; frame by frame darker still if that is asked for."""

    segmenter = None

    def __init__(self, factor: float = 0.5, wobble: float = 0.0) -> None:
        self.factor, self.wobble = factor, wobble
        self.asked: list[dict] = []

    def style(self, hour=None, season=None, reference=None):
        self.asked.append({"hour": hour, "season": season, "reference": reference})
        return torch.full((1, 1), self.factor if reference is None else float(reference.mean()))

    def stream(self, frames, looks, labels=None, *, temporal=True):
        for k, (frame, look) in enumerate(zip(frames, looks, strict=False)):
            factor = float(look.style) * (1 - self.wobble * (k % 2) * (not temporal))
            yield torch.lerp(frame, frame * factor, look.strength)


# Held-out places


def place(seed: int) -> Lights:
    """Nine lights of a picture: a road and a building below the sky, snow on the road in winter."""
    labels = torch.full((9, 2, HEIGHT, WIDTH), ROAD)
    labels[..., :12, :] = SKY
    labels[..., 12:24, :20] = BUILDING
    labels[6:, :, 24:] = SNOW
    rgb = torch.stack([torch.stack([soft(seed), soft(seed).roll(1, -1)]) * (1 - 0.1 * k) for k in range(9)])
    return Lights(
        (rgb * 255).round() / 255,
        labels,
        torch.tensor([12.0, 18.0, 23.0] * 3),
        torch.tensor([2.0, 3.0, 0.0]).repeat_interleave(3),
        torch.zeros(2, HEIGHT, WIDTH),
        EVERYWHERE,
    )


PLACES = [place(seed) for seed in range(5)]


def test_the_reference_is_the_next_place_of_its_kind():
    for index, other in ((0, 2), (2, 4), (4, 0), (1, 3), (3, 1)):
        for wanted, light in zip(cases(PLACES, index), (2, 1, 6, 3), strict=True):
            assert torch.equal(wanted.reference, PLACES[other].rgb[light, 1])
            assert torch.equal(wanted.target, PLACES[index].rgb[light, 1])


def test_only_what_changes_is_asked_for():
    found = {wanted.name: (wanted.hour, wanted.season) for wanted in cases(PLACES, 0)}
    assert found == {
        "day to night": (23.0, None),
        "day to dusk": (18.0, None),
        "summer to winter": (None, 0.0),
        "summer to autumn": (None, 3.0),
    }


def test_regions():
    found = {wanted.name: wanted.regions() for wanted in cases(PLACES, 0)}
    assert set(found["day to night"]) == {"sky", "buildings"} and set(found["summer to autumn"]) == {"sky"}
    assert found["day to night"]["buildings"].sum() == 12 * 20
    assert found["summer to winter"]["new snow"].sum() == 24 * WIDTH


def test_places_are_judged_by_the_second_frame():
    pipeline = Darker(0.8)
    wanted = next(cases(PLACES, 0))
    shown = worlds.pictures(pipeline, wanted)
    rows = worlds.judge(wanted, shown)
    # The night is 0.8 times the day, to the rounding.
    assert min(rows[RESTYLE][name] for name in ("PSNR", "PSNR, sky", "PSNR, buildings")) > 50
    assert rows[UNCHANGED]["PSNR"] < 30 and rows[UNCHANGED]["edges"] == pytest.approx(1, abs=1e-6)
    assert rows[true_reference(HISTOGRAM)]["PSNR"] > rows[HISTOGRAM]["PSNR"]
    assert list(rows[TRUE]) == ["edges"]
    assert pipeline.asked[0] == {"hour": 23.0, "season": None, "reference": None}
    assert torch.equal(pipeline.asked[1]["reference"], wanted.reference)
    for mask in ("sky", "buildings"):
        assert f"PSNR, {mask}" in rows[REINHARD]


def test_two_places_of_a_kind_are_needed(tmp_path):
    with pytest.raises(InputError, match="--places 3: wanted 4 or more"):
        worlds.held_out_lights(tmp_path, 3)


# Real nights


def test_the_hour_of_a_file():
    assert hour_of(Path("a/20130711_142413.jpg")) == 14
    for name in ("noon.jpg", "20130711.jpg", "20130711_14241.jpg"):
        with pytest.raises(InputError, match="expected a name that tells the time"):
            hour_of(Path(name))


def test_evenly():
    assert evenly(range(17), 9) == [0, 1, 3, 5, 7, 9, 11, 13, 15] and evenly("abc", 3) == ["a", "b", "c"]


def small_data(folder, frames: int = 3):
    """A folder of data sets: four days and six nights of a camera, photos, and two clips."""
    (folder / night.CAMERA).mkdir(parents=True)
    for k in range(10):
        rgb = soft(k) * 0.3 + (0.45 if k < 4 else 0.01 * (k - 4))
        write_jpg(folder / night.CAMERA / f"2013070{k}_{'12' if k < 4 else '23'}0000.jpg", rgb)
    write_jpg(folder / night.CAMERA / "20130711_050000.jpg", torch.full((3, HEIGHT, WIDTH), 0.6))  # bright, but early
    write_jpg(folder / night.CAMERA / "20130711_120000.jpg", torch.full((3, HEIGHT, WIDTH), 0.4))  # neither
    (folder / night.PHOTOS).mkdir()
    for k, name in enumerate((*NIGHT_PHOTOS, clips.WISHES["winter"].photo)):
        write_jpg(folder / night.PHOTOS / name, soft(20 + k, 40, 44) * 0.4)
    for name in ("drive_7fps", "road_1hz"):
        (folder / "clips" / name).mkdir(parents=True)
        for k in range(frames):
            write_jpg(folder / "clips" / name / f"{k:04d}.jpg", soft(30).roll(k, -1))
    return folder


def write_jpg(path, rgb):
    Image.fromarray((rgb * 255).round().byte().permute(1, 2, 0).numpy()).save(path, quality=95)


def test_days_and_nights_are_told_apart(tmp_path):
    camera = Camera.read(small_data(tmp_path))
    assert camera.days.shape == camera.nights.shape == (4, 3, HEIGHT, WIDTH) and len(camera.photos) == 4
    assert camera.days.mean() > 0.5 > 0.25 > camera.nights.mean()
    assert not any(torch.equal(camera.own, frame) for frame in camera.nights)
    means = sorted([*camera.nights.mean(dim=(1, 2, 3)).tolist(), float(camera.own.mean())])
    assert means[0] < float(camera.own.mean()) < means[-1]


def test_nights_of_the_camera_are_nearest_to_nights_of_the_camera(tmp_path):
    camera = Camera.read(small_data(tmp_path))

    class Sees(Darker):
        def stream(self, frames, looks, labels=None, *, temporal=True):
            assert not temporal  # days of different months
            yield from camera.nights

    pipeline = Sees()
    rows, shown = measured_nights(pipeline, camera, 2)
    assert rows[RESTYLE]["colour"] < 1 and rows[RESTYLE]["gradient"] == 0
    for method in (UNCHANGED, REINHARD, HISTOGRAM, night.own_camera(HISTOGRAM)):
        assert rows[method]["colour"] > rows[RESTYLE]["colour"] and rows[method]["gradient"] > 0
    assert rows[night.HALVES]["colour"] > rows[RESTYLE]["colour"]
    assert pipeline.asked[-1] == {"hour": HOURS["night"], "season": None, "reference": None}
    assert len(shown) == 2 and set(shown[0]) == {TRUE, *rows} - {night.HALVES}


def test_the_camera_and_the_photos_are_there(data_dir):
    camera = Camera.read(data_dir)
    assert len(camera.nights) == len(camera.days) >= 8
    free = {path.name for path in free_photos(data_dir / night.PHOTOS)}
    assert {*NIGHT_PHOTOS, *(wish.photo for wish in clips.WISHES.values())} <= free


# Real clips


class Sky:
    """A segmenter that sees sky in the upper quarter."""

    def segment(self, rgb):
        labels = torch.full(rgb.shape[-2:], ROAD)
        labels[: rgb.shape[-2] // 4] = SKY
        return labels


def test_clips_are_judged_against_their_own_motion(tmp_path):
    data = small_data(tmp_path, frames=5)
    clip = Clip.read(data / "clips/drive_7fps", 4, Sky())
    assert clip.rgb.shape == (4, 3, HEIGHT, WIDTH) and clip.motion is not None
    shown = clips.takes(Darker(0.5, wobble=0.2), clip, clips.WISHES["night"], data)
    rows = clips.judge(clip, shown)
    assert rows[RESTYLE]["warp error / source"] == pytest.approx(0.5, abs=0.2)
    assert rows[RESTYLE]["warp error / source, by edges"] == pytest.approx(1, abs=0.3)
    assert rows[SINGLE]["warp error / source"] > 2 * rows[RESTYLE]["warp error / source"]
    assert rows[RESTYLE]["edges"] > 0.97 > rows[RESTYLE]["edges, same light"]


def test_frames_a_second_apart_have_no_motion(tmp_path):
    data = small_data(tmp_path)
    clip = Clip.read(data / "clips/road_1hz", 4, Sky())
    rows = clips.judge(clip, clips.takes(Darker(), clip, clips.WISHES["winter"], data))
    assert clip.motion is None and math.isnan(rows[RESTYLE]["warp error / source"]) and rows[RESTYLE]["edges"] > 0.9


def test_the_sky_does_not_count(tmp_path):
    clip = Clip.read(small_data(tmp_path) / "clips/drive_7fps", 4, Sky())
    other = clip.rgb.clone()
    other[..., :6, :] = soft(5)[:, :6]
    assert clips.kept_edges(clip, other) > 0.97
    assert clips.kept_edges(clip, other.flip(-2)) < 0.7


def test_strength_0_is_counted_bit_for_bit(tmp_path):
    clip = Clip.read(small_data(tmp_path) / "clips/drive_7fps", 4, Sky())
    assert clips.changed_at_strength_0(Darker(), clip) == 0

    class Careless(Darker):
        def stream(self, frames, looks, labels=None, *, temporal=True):
            for k, frame in enumerate(frames):
                yield frame + (1e-7 if k == 1 else 0)

    assert clips.changed_at_strength_0(Careless(), clip) == 1


# The command


def small_restyler() -> Restyler:
    spade = SpadeConfig(
        (len(CLASSES) + 3, 4),
        MAP_CHANNELS + 1,
        (8, 8),
        8,
        style_dim=4,
        style_grid=(1, 1),
        upscale=2,
        style_modulation=True,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Restyler(RestylerConfig(spade, (8,) * (len(spade.widths) + 1), 8, (8, 8), 32)).eval()


def test_bad_input_is_one_line(tmp_path, capsys):
    small_restyler().save_pretrained(tmp_path / "model")
    (tmp_path / "there.json").write_text("{}")
    (tmp_path / "clips/one").mkdir(parents=True)
    good = ["restyle", "--weights", tmp_path / "model", "--cache", tmp_path]
    for words, part in (
        (["restile"], "did you mean restyle"),
        ([*good, "--json", tmp_path / "there.json"], "exists"),
        ([*good, "--sheet", tmp_path / "no/sheet.png"], "there is no folder"),
        (["restyle", "--weights", tmp_path], "no such file"),
        ([*good, "--data", tmp_path / "none"], "with folders of frames in clips"),
        ([*good, "--data", tmp_path], "with webcams/frankfurt in it"),
        ([*good, "--places", "3"], "wanted 4 or more"),
        ([*good, "--frames", "0"], "expected a whole number from 1 on"),
    ):
        assert main(["evaluate", *map(str, words)]) == 2, words
        err = capsys.readouterr().err
        assert err.count("\n") == 1 and part in err, err


def test_the_command_measures_small_places_nights_and_clips(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(light_set, "render_lights", lambda seed, index, height, width: PLACES[index])
    for module, name, value in (
        (job, "SPEED_SIZE", (32, 48)),
        (job, "TILE", (30, 40)),
        (cost, "FILM", 4),
        (cost, "LONG", 30),
        (speed, "LONG", 30),
        (speed, "SETTLED", 20),
    ):
        monkeypatch.setattr(module, name, value)
    places = LightSet(tmp_path, 4, seed=HELD_OUT_SEED)
    for index in range(4):
        places._make_one(index)  # here, not in processes of their own
    small_data(tmp_path / "data")
    small_restyler().save_pretrained(tmp_path / "model")
    monkeypatch.chdir(tmp_path)
    words = [
        "--weights",
        "model",
        "--data",
        "data",
        "--cache",
        ".",
        "--json",
        "all.json",
        "--sheet",
        "all.png",
        "--long",
    ]
    assert main(["evaluate", "restyle", "--places", "4", *words]) == 0
    text = capsys.readouterr().out
    assert "day to night, 4 held-out places" in text and "real nights, 4 days against 4 nights" in text
    assert "real clips to winter, means over 2" in text and "targets:" in text
    report = json.loads((tmp_path / "all.json").read_text())
    rows = [row[RESTYLE]["PSNR"] for row in report["places"]["day to night"]]
    assert report["worlds"]["day to night"][RESTYLE]["PSNR"] == pytest.approx(sum(rows) / 4)
    assert set(report["worlds"]) == set(worlds.TRANSITIONS) and set(report["clips"]["night"]) == {
        "drive_7fps",
        "road_1hz",
    }
    assert {"network", "lift to full size", "lay snow", "rest of the loop"} <= set(report["speed"]["ms per frame"])
    assert report["frames changed at strength 0"] == 0 and report["long run"]["MiB more"] < 10
    assert all(target["met"] is not None for target in report["targets"])
    assert len(report["weights"]["restyle"]) == 64
    picture = read_image(tmp_path / "all.png")
    assert picture.shape[2] == len(job.COLUMNS) * 40 and picture.shape[1] > (2 * 4 + 2 + 2 * 2) * 30
    assert {REFERENCE, SINGLE, RESTYLE} <= set(job.COLUMNS)


def test_targets_without_data_are_not_measured():
    row = {"PSNR": 20.0, "SSIM": 0.5}
    better = {"PSNR": 23.0, "SSIM": 0.6}
    rows = dict.fromkeys((UNCHANGED, REINHARD, HISTOGRAM, true_reference(REINHARD), true_reference(HISTOGRAM)), row)
    found = targets(
        {"frames per second": 7.0, "height": 32, "width": 48},
        {},
        {"day to night": rows | {RESTYLE: better}},
        {},
        {},
        math.nan,
    )
    named = {target.name: target for target in found}
    assert named["PSNR above the better transfer of colours, day to night"].value == pytest.approx(3)
    assert named["PSNR above the better transfer of colours, day to night"].met
    missing = [target for target in found if math.isnan(target.value)]
    assert len(missing) == 2 + 8 + 1 + 1 and not any(target.met for target in missing)
