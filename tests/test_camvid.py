"""CamVid's frames: which are learned from, which are held out, and what a label means."""

import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from pipelines.errors import InputError
from pipelines.training.camvid import (
    CAMVID_CLASSES,
    GAP,
    HELD_OUT,
    TRAINING,
    CamVid,
    CamVidFrame,
    choose,
    read_frames,
)
from vid2vid.classes import CLASSES, NO_LABEL

CLASSES_CSV = "id,name\n0,Sky\n1,Building\n2,Unlabelled\n"


@pytest.fixture
def folder(tmp_path):
    """Three frames of a training sequence, made up."""
    rows = ["sequence,index,name,time_s"]
    for kind in ("images", "labels"):
        (tmp_path / "0006R0_1Hz" / kind).mkdir(parents=True)
    for k in range(3):
        rows.append(f"0006R0_1Hz,{k},f{k},{k}.0")
        rgb = np.full((4, 6, 3), 40 * k, np.uint8)
        Image.fromarray(rgb).save(tmp_path / f"0006R0_1Hz/images/f{k}.jpg", quality=100)
        ids = np.array([[0, 0, 1, 1, 2, 2]] * 4, np.uint8)
        Image.fromarray(ids).save(tmp_path / f"0006R0_1Hz/labels/f{k}.png")
    (tmp_path / "frames.csv").write_text("\n".join(rows) + "\n")
    (tmp_path / "classes.csv").write_text(CLASSES_CSV)
    return tmp_path


def test_pixels_and_ids(folder):
    camvid = CamVid(folder, ("0006R0_1Hz",))
    assert [frame.name for frame in camvid.frames] == ["f1", "f2"]
    rgb, labels = camvid[1]
    torch.testing.assert_close(rgb, torch.full((3, 4, 6), 80 / 255), atol=2 / 255, rtol=0)
    sky, building = CLASSES.index("sky"), CLASSES.index("building")
    assert labels.dtype == torch.int64
    assert labels.tolist() == [[sky, sky, building, building, NO_LABEL, NO_LABEL]] * 4
    assert [frame.name for frame in CamVid(folder, ("0006R0_1Hz",), held_out=True).frames] == ["f0"]


def test_frames_near_the_held_out_sequence_are_left_out():
    dense = [CamVidFrame(HELD_OUT[0], f"c{k}", 100 + k / 15) for k in range(16)]  # 100 s to 101 s
    before = [CamVidFrame("0016E5_b_1Hz", f"b{k}", 90.0 + k) for k in range(11)]
    elsewhere = [CamVidFrame("0001TP_1Hz", f"e{k}", 95.0 + k) for k in range(11)]
    learned = choose([*elsewhere, *before, *dense], held_out=False)
    assert [f.name for f in learned] == [f"e{k}" for k in range(1, 10)] + ["b1", "b2", "b3", "b4", "b5"]
    others = choose([*elsewhere, *before, *dense], held_out=True)
    assert [f.name for f in others if f not in dense] == ["e0", "e10", "b0"]
    assert set(dense) <= set(others)


def test_a_held_out_sequence_is_not_learned_from(folder):
    with pytest.raises(ValueError, match="not to be learned from"):
        CamVid(folder, HELD_OUT)
    with pytest.raises(ValueError, match="unknown sequences"):
        CamVid(folder, ("0005VD",))


def cut_label(folder):
    path = folder / "0006R0_1Hz/labels/f1.png"
    path.write_bytes(path.read_bytes()[:40])


def small_label(folder):
    Image.fromarray(np.zeros((2, 6), np.uint8)).save(folder / "0006R0_1Hz/labels/f1.png")


def large_id(folder):
    Image.fromarray(np.full((4, 6), 9, np.uint8)).save(folder / "0006R0_1Hz/labels/f1.png")


SPOILED = {
    "no folder": (shutil.rmtree, r"frames\.csv: no such file"),
    "no classes": (lambda f: (f / "classes.csv").unlink(), r"classes\.csv: no such file"),
    "other columns": (lambda f: (f / "frames.csv").write_text("a,b\n1,2\n"), "columns sequence, name"),
    "a bad time": (lambda f: (f / "frames.csv").write_text("sequence,name,time_s\nx,f1,now\n"), "not a number"),
    "another class": (lambda f: (f / "classes.csv").write_text("id,name\n0,Ocean\n"), "found 0 'Ocean'"),
    "ids out of order": (lambda f: (f / "classes.csv").write_text("id,name\n1,Sky\n"), "found 1 'Sky'"),
    "no image": (lambda f: (f / "0006R0_1Hz/images/f1.jpg").unlink(), r"f1\.jpg"),
    "no label": (lambda f: (f / "0006R0_1Hz/labels/f1.png").unlink(), r"f1\.png"),
    "a damaged label": (cut_label, r"f1\.png"),
    "a label of another size": (small_label, "wanted 8-bit ids"),
    "an id without a name": (large_id, "found the id 9"),
}


@pytest.mark.parametrize("case", SPOILED)
def test_what_is_wrong_is_named(folder, case):
    spoil, message = SPOILED[case]
    spoil(folder)
    with pytest.raises(InputError, match=message) as caught:
        CamVid(folder, ("0006R0_1Hz",))
    assert "\n" not in str(caught.value)


def test_the_real_data(data_dir):
    folder = data_dir / "camvid"
    if not folder.is_dir():
        pytest.skip(f"no {folder}")
    frames = read_frames(folder)
    learned, held_out = choose(frames, held_out=False), choose(frames, held_out=True)
    assert not set(learned) & set(held_out)
    assert len(frames) - len(learned) - len(held_out) == 8
    dense = [f.time for f in held_out if f.sequence in HELD_OUT]
    assert len(dense) == 101
    drive = [f.time for f in learned if f.sequence.startswith("0016E5")]
    assert min(abs(a - b) for a in drive for b in dense) >= GAP
    assert {f.sequence for f in learned} == set(TRAINING)

    camvid = CamVid(folder, ("0016E5_d_1Hz",))
    rgb, labels = camvid[-1]
    assert rgb.shape == (3, 360, 480)
    shown = labels[labels != NO_LABEL]
    assert {CLASSES[k] for k in shown.unique()} <= set(CAMVID_CLASSES)
    # A drive: the sky is bright and above, the road below and grey.
    sky, road = labels == CLASSES.index("sky"), labels == CLASSES.index("road")
    assert rgb.mean(dim=0)[sky].mean() > rgb.mean(dim=0)[road].mean() + 0.2
    assert sky.nonzero()[:, 0].float().mean() < road.nonzero()[:, 0].float().mean()
