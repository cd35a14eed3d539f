"""``viewsynth restyle`` as a person uses it: clips, pictures and photos in, the same shot out, bad input refused."""

from __future__ import annotations

import itertools
from dataclasses import replace
from fractions import Fraction

import av
import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from test_clips import packets, shoot, shown

from pipelines import restyle
from pipelines.cli import main
from pipelines.looks import Look, clock
from pipelines.media.clips import open_clip
from pipelines.media.images import read_image
from pipelines.media.label_video import open_label_sink
from pipelines.media.video import read_rate, read_video_frames
from pipelines.perception.segmentation import Segmenter
from pipelines.restyle import RestylePipeline
from vid2vid.classes import CLASSES, NO_LABEL
from vid2vid.restyler import Restyler, RestylerConfig

HEIGHT, WIDTH, FRAMES = 48, 64, 30  # of ``shoot``
FPS = Fraction(30000, 1001)
SPADE = replace(RestylerConfig().spade, widths=(16, 16, 16), hidden=8, style_dim=8)


def run(*words):
    return main(["restyle", *map(str, words)])


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A small restyler that has learnt nothing, and changes every colour."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        restyler = Restyler(RestylerConfig(SPADE, (8, 8, 8, 8), side=32))
        with torch.no_grad():
            restyler.spade.conv_img.weight.mul_(10)
            restyler.spade.conv_img.bias[9:12] = -0.3
    folder = tmp_path_factory.mktemp("weights") / "model"
    restyler.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return shoot(tmp_path_factory.mktemp("clip") / "clip.mp4", FPS)


@pytest.fixture
def sources(monkeypatch):
    """What reaches the network, which here leaves the frames as they are."""
    seen = []

    def network(restyler, sources, lights, snow, *, temporal=True):
        for source in sources:
            seen.append(source)
            yield source.rgb

    monkeypatch.setattr(restyle, "restyle", network)
    return seen


def pictures(folder, count=3, size=(HEIGHT, WIDTH), name="{:03d}.jpg"):
    folder.mkdir()
    noise = np.random.default_rng(0).integers(0, 256, (count, *size, 3), dtype=np.uint8)
    for k in range(count):
        cv2.imwrite(str(folder / name.format(k)), noise[k])
    return folder


# ---- what is kept, and what changes ---------------------------------------------------------------------------


def test_a_clip_keeps_its_sound_rate_length_and_size(tmp_path, clip, weights, capsys):
    out = tmp_path / "night.mp4"
    assert run(clip, "-o", out, "--time", "night", "--weights", weights) == 0
    times, greys = shown(out)
    assert times == shown(clip)[0] and read_rate(out) == FPS
    assert packets(out) == packets(clip)
    assert (open_clip(out).height, open_clip(out).width) == (HEIGHT, WIDTH)
    before = shown(clip)[1]
    assert np.abs(np.subtract(greys, before))[5:].min() > 10  # the network did something to every frame
    said = capsys.readouterr().out.strip()
    assert said.startswith(f"{out}: {FRAMES} frames of {HEIGHT}x{WIDTH} in ") and said.endswith(" s")
    assert [file.name for file in tmp_path.iterdir()] == ["night.mp4"]


def test_the_command_writes_what_the_pipeline_makes(tmp_path, weights):
    folder = pictures(tmp_path / "in")
    assert run(folder / "%03d.jpg", "-o", tmp_path / "out/%d.png", "--season", "winter", "--weights", weights) == 0
    pipeline = RestylePipeline.from_pretrained(weights)
    look = Look.at(pipeline.style(season=0.0), 1.0, season=0.0)
    made = list(pipeline.stream(open_clip(folder), itertools.repeat(look)))
    assert len(made) == 3
    for frame, wanted in zip(read_video_frames(tmp_path / "out/%d.png"), made, strict=True):
        assert (frame - wanted).abs().max() <= 0.5 / 255 + 1e-6


def test_strength_0_gives_the_very_pixels_and_runs_no_network(tmp_path, weights, monkeypatch):
    def never(*arguments):
        raise AssertionError("the network ran")

    monkeypatch.setattr(Restyler, "forward", never)
    monkeypatch.setattr(Segmenter, "segment", never)
    folder = pictures(tmp_path / "in", size=(37, 51))  # odd sizes are fine in pictures
    words = [folder, "-o", tmp_path / "out/%03d.png", "--time", "night", "--strength", "0", "--weights", weights]
    assert run(*words) == 0
    for k in range(3):
        given, made = (np.asarray(Image.open(tmp_path / name)) for name in (f"in/{k:03d}.jpg", f"out/{k:03d}.png"))
        assert np.array_equal(given, made)


def test_strength_over_time_fades_the_look_in(tmp_path, clip, weights):
    words = ["--time", "night", "--strength", "0.2:0,0.6:1", "--weights", weights]
    assert run(clip, "-o", tmp_path / "%d.png", *words) == 0
    assert run(clip, "-o", tmp_path / "full/%d.png", "--time", "night", "--weights", weights) == 0
    change, full = (
        [float((a - b).abs().mean()) for a, b in zip(open_clip(clip), open_clip(tmp_path / name), strict=True)]
        for name in ("%d.png", "full/%d.png")
    )
    assert max(change[:6]) < 1e-6  # until 0.2 s
    assert change[18:] == pytest.approx(full[18:], abs=0.02)  # from 0.6 s on
    assert 0.3 < change[12] / full[12] < 0.7


def test_a_photo_becomes_a_picture(tmp_path, weights):
    photo = pictures(tmp_path / "in") / "001.jpg"
    words = [photo, "-o", tmp_path / "dusk.png", "--time", "dusk", "--season", "autumn", "--weights", weights]
    assert run(*words) == 0
    assert (read_image(tmp_path / "dusk.png") - read_image(photo)).abs().mean() > 0.02
    assert run(*words) == 2
    assert run(*words, "--overwrite") == 0


def test_pictures_become_a_video_at_a_rate(tmp_path, weights, sources):
    folder = pictures(tmp_path / "in")
    assert run(folder, "-o", tmp_path / "a.mp4", "--time", "day", "--fps", "15", "--weights", weights) == 0
    assert read_rate(tmp_path / "a.mp4") == 15
    with av.open(str(tmp_path / "a.mp4")) as container:
        assert len(container.streams) == 1


def test_a_real_clip_of_pictures(tmp_path, data_dir, weights, sources):
    folder = data_dir / "clips/hills_flyover_a1_30fps"
    if not folder.is_dir():
        pytest.skip(f"no {folder}")
    assert run(folder, "-o", tmp_path / "%04d.png", "--time", "night", "--weights", weights) == 0
    assert len(sources) == 20
    for k in (0, 19):
        assert np.array_equal(
            *(np.asarray(Image.open(path)) for path in (folder / f"{k:04d}.jpg", tmp_path / f"{k:04d}.png"))
        )
    sky = (sources[0].labels == CLASSES.index("sky")).float().mean(dim=1)
    assert sky[0] > 0.8 and sky[-1] < 0.1 and sources[0].labels.shape[0] == 192  # by the bundled segmenter


# ---- what is wanted of every frame ----------------------------------------------------------------------------


def test_a_range_of_times_gives_every_frame_its_moment(tmp_path, clip, weights, sources):
    words = ["--time", "22:00..02:00", "--season", "summer", "--strength", "0.5", "--weights", weights]
    assert run(clip, "-o", tmp_path / "a.mp4", *words) == 0
    pipeline = RestylePipeline.from_pretrained(weights)
    assert len(sources) == FRAMES
    for k, source in enumerate(sources):
        assert source.strength == 0.5
        wanted = pipeline.style(hour=(22 + 4 * k / (FRAMES - 1)) % 24, season=2.0)
        assert torch.allclose(source.style, wanted, atol=1e-5), clock(22 + 4 * k / (FRAMES - 1))
    steps = [float((b.style - a.style).norm()) for a, b in itertools.pairwise(sources)]
    assert 0 < max(steps) < 3 * np.mean(steps)  # nothing jumps at midnight


def test_what_is_left_out_is_kept(weights):
    pipeline = RestylePipeline.from_pretrained(weights)
    night, winter, both = pipeline.style(hour=23.5), pipeline.style(season=0.0), pipeline.style(23.5, 0.0)
    assert night.shape == (1, 8)
    assert not torch.allclose(night, both) and not torch.allclose(winter, both)
    expected = pipeline.restyler.moment_style(torch.tensor([23.5]), torch.tensor([torch.nan]))
    assert torch.equal(night, expected)


def test_a_reference_decides_the_look(tmp_path, clip, weights, sources):
    references = [tmp_path / "dark.png", tmp_path / "bright.png"]
    for level, path in zip((20, 230), references, strict=True):
        cv2.imwrite(str(path), np.full((300, 500, 3), level, np.uint8))
        assert run(clip, "-o", tmp_path / f"{level}.mp4", "--reference", path, "--weights", weights) == 0
    pipeline = RestylePipeline.from_pretrained(weights)
    styles = [pipeline.style(reference=path) for path in references]
    assert torch.equal(styles[0], pipeline.style(reference=read_image(references[0])))
    assert torch.equal(sources[0].style, styles[0]) and torch.equal(sources[-1].style, styles[1])
    assert not torch.allclose(*styles)


def test_labels_of_ones_own_are_used(tmp_path, clip, weights, sources, capsys, monkeypatch):
    monkeypatch.setattr(Segmenter, "segment", lambda *arguments: pytest.fail("there were labels"))
    maps = [torch.full((HEIGHT // 2, WIDTH // 2), k % len(CLASSES)) for k in range(FRAMES)]
    maps[0][:12] = NO_LABEL
    with open_label_sink(tmp_path / "labels/%d.png", FPS, HEIGHT // 2, WIDTH // 2) as sink:
        for labels in maps:
            sink.write(labels)
    words = ["--time", "night", "--labels", tmp_path / "labels", "--weights", weights]
    assert run(clip, "-o", tmp_path / "a.mp4", *words) == 0
    for source, wanted in zip(sources, maps, strict=True):
        assert torch.equal(source.labels, wanted)
    assert "viewsynth, by colours, 30 frames of 24x32, 1.7% without a class" in capsys.readouterr().out


def test_a_stream_takes_frames_as_it_goes(weights):
    pipeline = RestylePipeline.from_pretrained(weights)
    taken = []

    def endless():
        while True:
            taken.append(torch.rand(3, 40, 60))
            yield taken[-1]

    stream = pipeline.stream(endless(), itertools.repeat(Look(pipeline.style(hour=23.0), 1.0)))
    for k in range(4):
        assert next(stream).shape == (3, 40, 60)
        assert k + 1 <= len(taken) <= k + 2  # the next one may be under way
    stream.close()
    with pytest.raises(ValueError, match="shorter"):
        list(pipeline.stream([torch.rand(3, 40, 60)] * 2, itertools.repeat(Look(pipeline.style(1.0), 1.0)), []))


# ---- mistakes -------------------------------------------------------------------------------------------------


def odd(tmp, clip):
    return [pictures(tmp / "odd", size=(37, 50)), "-o", tmp / "out.mp4", "--time", "night"]


def cut(tmp, clip):
    (tmp / "cut.mp4").write_bytes(clip.read_bytes()[:12_000])
    return [tmp / "cut.mp4", "-o", tmp / "out.mp4", "--time", "night"]


def zeros(tmp, clip):
    """A download that never came to its end: the length is right."""
    data = clip.read_bytes()
    (tmp / "zeros.mp4").write_bytes(data[: len(data) // 2] + bytes(len(data) - len(data) // 2))
    return [tmp / "zeros.mp4", "-o", tmp / "out.mp4", "--time", "night"]


def labelled(tmp, clip, frames, height, width):
    with open_label_sink(tmp / "labels/%d.png", FPS, height, width) as sink:
        for _ in range(frames):
            sink.write(torch.zeros(height, width, dtype=torch.int64))
    return [clip, "-o", tmp / "out.mp4", "--time", "night", "--labels", tmp / "labels", "--labels-set", "viewsynth"]


def to(tmp, clip, *words):
    return [clip, "-o", tmp / "out.mp4", *words]


BAD = {
    "nothing to change": (lambda tmp, clip: to(tmp, clip), "give --time, --season or --reference"),
    "two looks": (lambda tmp, clip: to(tmp, clip, "--time", "day", "--reference", "a.jpg"), "--reference decides"),
    "no such time": (lambda tmp, clip: to(tmp, clip, "--time", "noon"), "--time: expected dawn, day, dusk, night"),
    "no such season": (lambda tmp, clip: to(tmp, clip, "--season", "sumer"), "did you mean summer?"),
    "too strong": (lambda tmp, clip: to(tmp, clip, "--time", "day", "--strength", "2"), "--strength: expected"),
    "no reference": (lambda tmp, clip: to(tmp, clip, "--reference", tmp / "none.jpg"), "none.jpg: no such file"),
    "no clip": (lambda tmp, clip: to(tmp, tmp / "none.mp4", "--time", "day"), "none.mp4: no such file"),
    "a set without labels": (lambda tmp, clip: to(tmp, clip, "--time", "day", "--labels-set", "camvid"), "--labels"),
    "a rate for a video": (lambda tmp, clip: to(tmp, clip, "--time", "day", "--fps", "30"), "--fps is for pictures"),
    "an odd size": (odd, "MP4 needs even sides, got 37x50; use 38x50 or write PNG frames"),
    "a cut clip": (cut, "cut.mp4: the video is cut short"),
    "a clip of zeros": (zeros, "zeros.mp4: the video is damaged"),
    "too few labels": (lambda tmp, clip: labelled(tmp, clip, 3, 24, 32), "found 3 label maps, wanted 30"),
    "labels of another aspect": (lambda tmp, clip: labelled(tmp, clip, 30, 32, 24), "wanted the aspect of the clip"),
    "a range for a photo": (
        lambda tmp, clip: to(tmp, pictures(tmp / "in") / "000.jpg", "--time", "05:00..22:00"),
        "--time is a range",
    ),
    "a clip into one picture": (
        lambda tmp, clip: [clip, "-o", tmp / "out.png", "--time", "day", "--strength", "0"],
        "more than one frame",
    ),
    "another kind of output": (lambda tmp, clip: [clip, "-o", tmp / "out.mkv", "--time", "day"], "out.mkv: expected"),
    "other weights": (lambda tmp, clip: to(tmp, clip, "--time", "day", "--weights", tmp), "config.json"),
    "another device": (lambda tmp, clip: to(tmp, clip, "--time", "day", "--device", "abacus"), "abacus"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_refused_in_one_line_and_leaves_nothing(tmp_path, clip, weights, capsys, case):
    words, part = BAD[case]
    words = words(tmp_path, clip)
    if "--weights" not in words:
        words += ["--weights", weights]
    assert run(*words) == 2
    said = capsys.readouterr().err.strip().splitlines()
    assert said[-1].startswith("viewsynth restyle: error: ") and part in said[-1]
    assert not any("Traceback" in line for line in said)
    assert not [file.name for file in tmp_path.iterdir() if "out" in file.name]


def test_the_help_has_examples_and_explains_the_hours(capsys):
    assert run("--help") == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "viewsynth restyle drive.mp4 -o lapse.mp4 --time 05:00..22:00" in said
    assert "dawn 6:00, day 12:30, dusk 18:10, night 23:30" in said
    assert "The sun rises at 6:00 and sets at 18:00 in every season" in said
