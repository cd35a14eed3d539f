"""Label maps to files and back: exact, whole or not at all, the same bytes every time."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from pipelines.errors import InputError
from pipelines.media.label_video import colourise, open_label_sink, open_labels
from vid2vid.classes import CLASSES, NO_LABEL
from vid2vid.label_sets import PALETTE

RATE = Fraction(30000, 1001)
ROAD = CLASSES.index("road")


def clip(frames: int = 4, height: int = 13, width: int = 17, seed: int = 0) -> list[torch.Tensor]:
    """Maps of all classes in any arrangement, and pixels without a label."""
    values = torch.tensor([*range(len(CLASSES)), NO_LABEL])
    generator = torch.Generator().manual_seed(seed)
    return list(values[torch.randint(len(values), (frames, height, width), generator=generator)])


def write_clip(output, maps, overwrite: bool = False) -> None:
    with open_label_sink(output, RATE, *maps[0].shape, overwrite=overwrite) as sink:
        for labels in maps:
            sink.write(labels)


def same(source, maps) -> bool:
    return all(torch.equal(found, wanted) for found, wanted in zip(source, maps, strict=True))


@pytest.mark.parametrize("name", ["out/%03d.png", "out.mkv"])
def test_what_we_write_we_read(tmp_path, name):
    maps = clip()
    write_clip(tmp_path / name, maps)
    source = open_labels(tmp_path / name)
    assert (source.set.name, source.frames, source.height, source.width) == ("viewsynth", 4, 13, 17)
    assert source.fps == (RATE if name == "out.mkv" else None)
    assert same(source, maps) and same(source, maps)  # as often as wanted
    wanted = torch.stack(maps)
    assert source.counts.tolist() == [int((wanted == k).sum()) for k in range(len(CLASSES))]
    assert next(iter(source)).dtype == torch.int64
    assert source.describe() == "labels: viewsynth, by colours, 4 frames of 13x17"


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.integers(1, 3), st.integers(2, 40), st.integers(2, 40), st.integers(0, 99), st.sampled_from(["%d.png", "a.mkv"])
)
def test_any_size_comes_back(tmp_path, frames, height, width, seed, name):
    maps = clip(frames, height, width, seed)
    write_clip(tmp_path / name, maps, overwrite=True)
    assert same(open_labels(tmp_path / name, "viewsynth"), maps)


def test_a_video_of_one_column_is_refused(tmp_path):
    with pytest.raises(InputError, match="2 pixels or more"):
        write_clip(tmp_path / "a.mkv", clip(1, 5, 1))
    assert not list(tmp_path.iterdir())


def test_one_map_is_one_png(tmp_path):
    write_clip(tmp_path / "still.png", clip(1))
    assert same(open_labels(tmp_path / "still.png"), clip(1))
    with pytest.raises(InputError, match="takes one map"):
        write_clip(tmp_path / "two.png", clip(2))
    assert not (tmp_path / "two.png").exists()


def test_png_indices_are_our_classes(tmp_path):
    write_clip(tmp_path / "%d.png", clip(1))
    image = Image.open(tmp_path / "0.png")
    assert image.mode == "P" and np.array_equal(np.asarray(image), clip(1)[0].numpy())
    assert tuple(image.getpalette()[3 * ROAD : 3 * ROAD + 3]) == PALETTE["road"]


def test_the_same_labels_give_the_same_bytes(tmp_path):
    for name in ("a.mkv", "b.mkv"):
        write_clip(tmp_path / name, clip())
    assert (tmp_path / "a.mkv").read_bytes() == (tmp_path / "b.mkv").read_bytes()


@pytest.mark.parametrize("name", ["out.mkv", "out.png", "out/%d.png"])
def test_an_interrupted_run_leaves_nothing(tmp_path, name):
    with pytest.raises(RuntimeError), open_label_sink(tmp_path / name, RATE, 13, 17):
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["out.mkv", "out.png"])
def test_nothing_is_overwritten_unasked(tmp_path, name):
    (tmp_path / name).write_text("old")
    with pytest.raises(InputError, match="--overwrite"):
        write_clip(tmp_path / name, clip(1))
    assert (tmp_path / name).read_text() == "old"
    with pytest.raises(RuntimeError), open_label_sink(tmp_path / name, RATE, 13, 17, overwrite=True):
        raise RuntimeError
    assert (tmp_path / name).read_text() == "old"
    write_clip(tmp_path / name, clip(1), overwrite=True)
    assert same(open_labels(tmp_path / name, "viewsynth"), clip(1))


def test_bad_outputs_are_refused_before_any_work(tmp_path):
    for name in ("out.mp4", "out.jpg", "out", "%d.mkv"):
        with pytest.raises(InputError, match="expected an output"):
            open_label_sink(tmp_path / name, RATE, 4, 4)
    for name in ("absent/out.mkv", "absent/out.png"):
        with pytest.raises(InputError, match="no folder"):
            open_label_sink(tmp_path / name, RATE, 4, 4)
    for name in ("a.mkv", "a.png"):
        (tmp_path / name).mkdir()
        with pytest.raises(InputError, match="found a folder"):
            open_label_sink(tmp_path / name, RATE, 4, 4)
    for name in ("b.mkv", "b.png"):
        with pytest.raises(InputError, match="no frames"), open_label_sink(tmp_path / name, RATE, 4, 4):
            pass


@pytest.mark.parametrize(
    "wrong",
    [
        torch.full((4, 4), len(CLASSES)),
        torch.full((4, 4), -1),
        torch.full((4, 4), 256 + ROAD),
        torch.zeros(4, 4),
        torch.zeros(1, 4, 4, dtype=torch.int64),
        torch.zeros(4, 5, dtype=torch.int64),
    ],
)
def test_sink_takes_classes_only(tmp_path, wrong):
    with pytest.raises(ValueError), open_label_sink(tmp_path / "out.mkv", RATE, 4, 4) as sink:
        sink.write(wrong)


def test_colourise():
    picture = colourise(torch.tensor([[ROAD, NO_LABEL]]))
    assert picture.shape == (3, 1, 2)
    assert (picture[:, 0, 0] * 255).round().tolist() == list(PALETTE["road"])
    assert picture[:, 0, 1].tolist() == [0, 0, 0]
