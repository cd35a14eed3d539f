"""`viewsynth evaluate footage`: how each method paints a clip, what it costs, the report, and the command."""

from __future__ import annotations

import json
import math
import mmap
import time

import pytest
import torch
from torch import nn

from pipelines.cli import main
from pipelines.evaluation import footage as job
from pipelines.evaluation import speed as cost
from pipelines.evaluation.report import Target, as_json, number, sheet, table
from pipelines.evaluation.speed import profile, resident, speed
from pipelines.evaluation.takes import (
    GUIDED,
    LABELS,
    METHODS,
    SINGLE,
    TRUE,
    Take,
    judge,
    ratio,
    shots_of,
    summary,
    take_of_clip,
)
from pipelines.footage import FootagePipeline
from pipelines.media.images import read_image
from pipelines.training.clip_set import Clip, ClipSet
from pipelines.training.world_set import HELD_OUT_SEED
from render_refine.camera import Camera, pose_from
from render_refine.spade import SpadeConfig, StyleConfig
from vid2vid.classes import CLASSES
from vid2vid.generator import FootageGenerator, GeneratorConfig, Painted
from vid2vid.motion import Motion

SKY, ROAD, CAR = (CLASSES.index(name) for name in ("sky", "road", "car"))
HEIGHT, WIDTH = 32, 48


NOISE = torch.rand(3, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(0))


# Takes


class Still(nn.Module):
    """A motion network that sees no motion, and trusts nothing."""

    def forward(self, labels, previous, last_flow):
        return Motion(torch.zeros_like(last_flow), torch.full_like(last_flow[:, :1], -20.0))


class Painter(nn.Module):
    """A generator that paints another grey in every frame, or always the same, and keeps what the guidance shows."""

    config = GeneratorConfig()

    def __init__(self, change: float) -> None:
        super().__init__()
        self.change, self.calls = change, 0

    def encode(self, image):
        return torch.zeros(len(image), 4), torch.zeros(len(image), 4)

    def forward(self, labels, warped, guidance, z):
        self.calls += 1
        rgb = torch.full((1, 3, *labels.shape[-2:]), 0.2 + self.change * self.calls)
        if guidance is not None:
            rgb = torch.where(guidance[:, 3:] > 0.5, guidance[:, :3], rgb)
        return Painted(rgb, rgb, torch.ones_like(rgb[:, :1]))


def drive(frames: int = 4) -> Clip:
    """A still camera before a wall and a car, below a sky."""
    labels = torch.full((frames, HEIGHT, WIDTH), ROAD)
    labels[:, :10] = SKY
    labels[:, 24:, 10:20] = CAR
    depth = torch.where(labels == SKY, torch.inf, 10.0)
    camera = Camera.from_fov(HEIGHT, WIDTH, 1.0, pose_from(torch.zeros(3), 0.0, 0.0, 0.0))
    rgb = torch.stack([NOISE] * frames)
    return Clip(rgb, labels, depth, [camera] * frames, torch.zeros_like(labels), torch.zeros(1, 3))


def pipeline_of(generator: nn.Module) -> FootagePipeline:
    return FootagePipeline(generator, Still(), torch.device("cpu"))


def test_a_constant_painter_neither_flickers_nor_forgets_nor_is_sharp():
    judged = judge(take_of_clip(pipeline_of(Painter(0.0)), drive(), "street 1"), None)
    for method in (SINGLE, LABELS, GUIDED):
        row = judged.rows[method]
        assert row["warp error"] < 1e-6 and row["Laplacian energy"] < 1e-10
        assert row["PSNR"] < 20
    assert judged.rows[GUIDED]["return"] == judged.rows[LABELS]["return, standing"] == 0
    assert "return" not in judged.rows[SINGLE]
    rows = summary([judged])
    assert rows[GUIDED]["detail / true"] < 1e-6 and rows[TRUE]["detail / true"] == 1


def test_guidance_remembers_and_labels_alone_do_not():
    take = take_of_clip(pipeline_of(Painter(0.02)), drive(), "street 1")
    assert list(take.frames) == list(METHODS)
    assert take.visits[GUIDED].shape == (7, 3, HEIGHT, WIDTH)
    assert torch.equal(take.frames[GUIDED], take.visits[GUIDED][:4])
    rows = judge(take, None).rows
    # Frame k is painted again 6 - 2k calls later: 6, 4 and 2 times 0.02 apart.
    assert rows[LABELS]["return"] == pytest.approx(4 * 0.02 * 255, abs=0.7)
    assert rows[GUIDED]["return, standing"] < 0.5
    car = float((drive().labels == CAR).float().mean())
    assert rows[GUIDED]["return"] == pytest.approx(car * rows[LABELS]["return"], abs=0.7)
    assert rows[SINGLE]["warp error"] == pytest.approx(0.02 * 255, abs=0.5)


def test_nothing_is_divided_by_nothing():
    assert ratio(3.0, 2.0) == 1.5 and math.isnan(ratio(3.0, 0.0)) and math.isnan(ratio(0.0, 0.0))


def test_a_summary_divides_by_the_true_frames():
    still, one = 0.9 * NOISE, torch.zeros(1, 2, HEIGHT, WIDTH)
    true = torch.stack([still, still + 4 / 255])
    worse = torch.stack([still, still + 12 / 255])
    labels = (true[:, 0] * 255).round().long() % 18
    frames = {TRUE: (true * 255).round().byte(), LABELS: (worse * 255).round().byte()}
    take = Take("street 1", labels, one, torch.ones(1, HEIGHT, WIDTH, dtype=torch.bool), frames)

    class Modulo:
        def segment(self, rgb):
            return (rgb[0] * 255).round().long() % 18

    rows = summary([judge(take, Modulo()), judge(take, Modulo())])
    assert rows[TRUE]["warp error / true"] == rows[TRUE]["mIoU / true"] == rows[TRUE]["mIoU"] == 1
    assert rows[LABELS]["warp error / true"] == pytest.approx(3, rel=0.05)
    assert 0.2 < rows[LABELS]["mIoU / true"] < 0.6  # one frame of two is right
    assert rows[LABELS]["accuracy"] == pytest.approx(0.5, abs=0.01)
    assert "PSNR" not in rows[TRUE] and rows[LABELS]["PSNR"] > 25


# Speed


def test_a_profile_tells_the_parts_and_leaves_nothing_out():
    def slow():
        time.sleep(0.02)

    def never():
        raise AssertionError

    def stream():
        for _ in range(3):
            slow()
            time.sleep(0.01)
            yield

    began = time.perf_counter()
    seconds = profile(stream, {"slow": slow, "never": never})
    whole = time.perf_counter() - began
    assert set(seconds) == {"slow", "rest of the loop"}
    assert seconds["slow"] >= 0.06 and seconds["rest of the loop"] >= 0.03
    assert sum(seconds.values()) <= whole


def small_pipeline() -> FootagePipeline:
    spade = SpadeConfig(
        (len(CLASSES), 4, 4), 6, (8, 8, 8), 8, style_dim=4, style_grid=(2, 2), upscale=2, style_modulation=True
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        generator = FootageGenerator(GeneratorConfig(spade=spade, style=StyleConfig(3, (8, 8), 4, (2, 2)))).eval()
    return pipeline_of(generator)


def test_speed_names_every_part():
    pipeline, shots = small_pipeline(), shots_of(drive())
    found = speed(pipeline, lambda: shots, pipeline.style(seed=1), (HEIGHT, WIDTH), guided=True)
    assert found["frames"] == 4 and found["frames per second"] > 0
    assert {"generator", "motion network", "memory, read", "memory, write", "warp", "rest of the loop"} <= set(
        found["ms per frame"]
    )
    assert all(cost > 0 for cost in found["ms per frame"].values())
    plain = speed(pipeline, lambda: shots, pipeline.style(seed=1), (HEIGHT, WIDTH), guided=False)
    assert not {"memory, read", "memory, write"} & set(plain["ms per frame"])


def test_resident_memory_sees_an_allocation():
    before = resident()
    if math.isnan(before):
        pytest.skip("this system has no /proc")
    with mmap.mmap(-1, 64 * 2**20) as held:  # pages of its own: a tensor may get memory that was freed before
        held.write(bytes(64 * 2**20))
        assert 40 < resident() - before < 90
        assert resident("VmHWM") >= resident() - 1


def test_a_leak_shows(monkeypatch):
    if math.isnan(resident()):
        pytest.skip("this system has no /proc")
    monkeypatch.setattr(cost, "LONG", 60)
    monkeypatch.setattr(cost, "SETTLED", 20)

    class Leaking:
        def stream(self, shots, style):
            kept = []
            for shot in shots:
                kept.append(torch.ones(4 * 2**20, dtype=torch.uint8))
                yield shot

    assert 100 < cost.growth(Leaking(), drive().labels, torch.zeros(1, 4))["MiB more"] < 200
    assert cost.growth(small_pipeline(), drive().labels, torch.zeros(1, 4))["MiB more"] < 10


# Report


def test_targets():
    assert Target("t", 1.2, 1.3).met and not Target("t", 1.4, 1.3).met
    assert Target("t", 0.8, 0.7, True).met and not Target("t", 0.6, 0.7, True).met
    assert "MISSED" in Target("t", 1.4, 1.3).line() and "(wanted <= 1.30)" in Target("t", 1.4, 1.3).line()
    assert "not measured" in Target("t", math.nan, 1.3).line() and not Target("t", math.nan, 1.3).met


def test_a_table_shows_what_is_there():
    text = table("title", {"a": {"x": 1.234, "y": 200.4}, "bcd": {"x": math.nan, "z": 3}})
    assert text.splitlines() == [
        "title",
        "          x    y  z",
        "  a    1.23  200  -",
        "  bcd     -    -  3",
    ]
    assert number(0.98765) == "0.988" and number(12.34) == "12.3" and number(-0.5) == "-0.500"


def test_json_has_no_nan():
    found = json.loads(as_json({"a": math.nan, "b": [1.5, Target("t", math.nan, 1.0), Target("u", 2.0, 1.0)]}))
    assert found["a"] is None and found["b"][0] == 1.5
    assert found["b"][1]["met"] is None and found["b"][2] == {
        "name": "u",
        "value": 2.0,
        "limit": 1.0,
        "at_least": False,
        "met": False,
    }


def test_a_sheet_keeps_the_aspect_of_its_pictures():
    tall = torch.full((3, 40, 20), 200, dtype=torch.uint8)
    found = sheet(("a", "b"), [[tall, None]], 20, 30)
    body = found[:, -20:]
    assert found.shape[2] == 60 and found.shape[1] > 20
    assert (body[:, :, :10] == 200).all() and (body[:, :, 10:] == 0).all()


# The command


def test_bad_input_is_one_line(tmp_path, monkeypatch, capsys):
    load = FootagePipeline.from_pretrained
    monkeypatch.setattr(
        FootagePipeline, "from_pretrained", lambda weights: load(weights) if weights else small_pipeline()
    )
    (tmp_path / "there.json").write_text("{}")
    for words, part in (
        (["fotage"], "did you mean footage"),
        (["footage", "--json", tmp_path / "there.json"], "exists"),
        (["footage", "--sheet", tmp_path / "no/sheet.png"], "there is no folder"),
        (["footage", "--weights", tmp_path], "no such file"),
        (["footage", "--data", tmp_path], "expected a folder of data sets"),
        (["footage", "--segmenter", tmp_path], "no such file"),
        (["footage", "--clips", "0"], "expected a whole number from 1 on"),
    ):
        assert main(["evaluate", *map(str, words)]) == 2, words
        err = capsys.readouterr().err
        assert err.count("\n") == 1 and part in err, err
    assert main(["evaluate"]) == 0 and "footage" in capsys.readouterr().out


def test_the_command_measures_small_clips(tmp_path, monkeypatch, capsys):
    for name, value in (("FRAMES", 3), ("SIZE", (32, 48)), ("SPEED_SIZE", (32, 64))):
        monkeypatch.setattr(job, name, value)
    for count, size in ((1, (32, 64)), (2, (32, 48))):
        clips = ClipSet(tmp_path, count, frames=3, height=size[0], width=size[1], seed=HELD_OUT_SEED)
        for index in range(count):
            clips._make_one(index)  # here, not in processes of their own
    monkeypatch.setattr(FootagePipeline, "from_pretrained", lambda weights: small_pipeline())
    outputs = ["--json", str(tmp_path / "all.json"), "--sheet", str(tmp_path / "all.png")]
    assert main(["evaluate", "footage", "--clips", "2", "--cache", str(tmp_path), *outputs]) == 0
    text = capsys.readouterr().out
    assert "rendered clips (2 x 3 frames)" in text and "targets:" in text
    report = json.loads((tmp_path / "all.json").read_text())
    assert set(report["quality"]) == {"street", "landscape", "rendered clips"}
    row = report["quality"]["rendered clips"]["guided"]
    clips = report["clips"]
    assert row["warp error"] == pytest.approx(
        (clips["street 1"]["guided"]["warp error"] + clips["landscape 1"]["guided"]["warp error"]) / 2
    )
    assert row["PSNR"] > 3 and report["versions"]["torch"] == torch.__version__
    assert any(t["met"] is None for t in report["targets"] if "memory" in t["name"])
    picture = read_image(tmp_path / "all.png")
    assert picture.shape[2] == 5 * 48 and picture.shape[1] > 6 * 32


def test_weights_that_lack_classes_are_not_judged_by_them():
    pipeline, notes = small_pipeline(), []
    pipeline.generator.config = GeneratorConfig(classes=("sky", "road"))
    labels = torch.tensor([[SKY, ROAD, 255]])
    assert job.knows(pipeline, labels, "street 1", notes) and notes == []
    assert not job.knows(pipeline, torch.tensor([[SKY, CAR]]), "street 1", notes)
    assert notes == ["not measured: street 1, these weights have not learnt car"]
