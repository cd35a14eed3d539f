"""Depth maps of a clip: every format says the same, in order, and what is wrong is named by its file."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from pipelines.errors import InputError
from pipelines.media.depth_files import read_depth
from pipelines.media.depth_sequences import open_depths, write_depth_npy, write_depth_png16
from pipelines.media.sequences import natural_key

DEPTH = torch.tensor([[1.0, 2.0, torch.inf], [4.0, 5.25, torch.inf]])


def frames(count: int) -> list[torch.Tensor]:
    return [DEPTH * (n + 1) for n in range(count)]


def pfm(depth: torch.Tensor) -> bytes:
    height, width = depth.shape
    return f"Pf\n{width} {height}\n-1.0\n".encode() + depth.flip(0).numpy().astype("<f4").tobytes()


def message(*arguments) -> str:
    with pytest.raises(InputError) as caught:
        list(open_depths(*arguments))
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("suffix", [".npy", ".pfm", ".png", ".exr"])
def test_all_formats_say_the_same_in_natural_order(tmp_path, suffix):
    for n, depth in enumerate(frames(12)):
        path = tmp_path / f"z{n}{suffix}"
        if suffix == ".npy":
            write_depth_npy(path, depth)
        elif suffix == ".pfm":
            path.write_bytes(pfm(depth))
        elif suffix == ".png":
            write_depth_png16(path, depth)
        else:
            OpenEXR = pytest.importorskip("OpenEXR")
            header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
            OpenEXR.File(header, {"Z": depth.numpy()}).write(str(path))
    (tmp_path / "notes.txt").write_text("not a depth map")
    (tmp_path / ".hidden.png").write_text("not a depth map")
    for path in (tmp_path, tmp_path / f"z%d{suffix}"):
        source = open_depths(path, 2, 3)
        assert source.frames == 12
        for found, expected in zip(source, frames(12), strict=True):
            assert found.dtype == torch.float32
            torch.testing.assert_close(found, expected, rtol=1e-6, atol=0)
        torch.testing.assert_close(source.read(10), DEPTH * 11, rtol=1e-6, atol=0)
        assert len(list(source)) == 12  # a second pass begins again


def test_png_numbers_are_depth_times_the_scale(tmp_path):
    numbers = np.array([[0, 1, 1500], [65534, 65535, 7]], np.uint16)
    cv2.imwrite(str(tmp_path / "0.png"), numbers)
    inf = torch.inf
    torch.testing.assert_close(
        open_depths(tmp_path, 2, 3).read(0), torch.tensor([[inf, 0.001, 1.5], [65.534, inf, 0.007]])
    )
    torch.testing.assert_close(open_depths(tmp_path, 2, 3, 0.5).read(0)[0, 2], torch.tensor(750.0))
    # The same file given for a photo is inverse depth: the nearest is the largest number.
    torch.testing.assert_close(read_depth(tmp_path / "0.png", 2, 3)[1, 1], torch.tensor(1.0))


@pytest.mark.parametrize("scale", [0.001, 0.01, 1 / 256])
def test_written_png_depth_is_right_to_half_a_step(tmp_path, scale):
    generator = torch.Generator().manual_seed(0)
    depth = scale * (1 + 65000 * torch.rand(20, 30, generator=generator))
    depth[:3] = torch.inf
    write_depth_png16(tmp_path / "0.png", depth, scale)
    again = open_depths(tmp_path, 20, 30, scale).read(0)
    assert torch.isinf(again[:3]).all()
    assert (again[3:] - depth[3:]).abs().max() <= 0.501 * scale


def test_maps_of_another_size_are_resized_and_sky_alone_is_a_frame(tmp_path):
    np.save(tmp_path / "0.npy", np.full((8, 12), 5.0, np.float32))
    np.save(tmp_path / "1.npy", np.full((8, 12), np.inf, np.float32))
    near, sky = open_depths(tmp_path, 4, 6)
    torch.testing.assert_close(near, torch.full((4, 6), 5.0))
    assert torch.isinf(sky).all()


def test_a_pattern_takes_only_its_own_files_and_counts_from_any_number(tmp_path):
    for name in ("z_0007.npy", "z_0008.npy", "z_0009.npy", "z_11.npy", "colour_0007.npy", "z_0010.npy.bak"):
        np.save(tmp_path / "x.npy", DEPTH.numpy())
        (tmp_path / "x.npy").rename(tmp_path / name)
    source = open_depths(tmp_path / "z_%04d.npy", 2, 3)
    assert [file.name for file in source.files] == ["z_0007.npy", "z_0008.npy", "z_0009.npy"]


def test_wrong_sequences_are_named(tmp_path):
    assert "no such folder" in message(tmp_path / "none", 2, 3)
    assert "no such files" in message(tmp_path / "%04d.npy", 2, 3)
    assert "no such files" in message(tmp_path / "none" / "%04d.npy", 2, 3)
    (tmp_path / "d").mkdir()
    assert "there are no depth maps" in message(tmp_path / "d", 2, 3)
    for number in (0, 1, 3):
        write_depth_npy(tmp_path / "d" / f"{number:04d}.npy", DEPTH)
    assert "0002.npy: missing between" in message(tmp_path / "d" / "%04d.npy", 2, 3)
    assert "found a single file" in message(tmp_path / "d" / "0000.npy", 2, 3)
    assert open_depths(tmp_path / "d", 2, 3).frames == 3
    for pattern in ("%s.npy", "%04d_%04d.npy", "%d%%.npy", "%5d.npy"):
        assert "pattern" in message(tmp_path / "d" / pattern, 2, 3) or "one number" in message(tmp_path / pattern, 2, 3)
    assert "one number" in message(tmp_path / "%d" / "%04d.npy", 2, 3)
    assert "expected a depth map named" in message(broken(tmp_path / "t", "%d.txt", b"x"), 2, 3)
    for scale in (0.0, -1.0, float("nan"), float("inf")):
        assert "scale" in message(tmp_path / "d", 2, 3, scale)
    write_depth_png16(tmp_path / "d" / "0000.png", DEPTH)
    assert "found .npy and .png files" in message(tmp_path / "d", 2, 3)


def broken(folder, name: str, data: bytes):
    folder.mkdir()
    (folder / (name % 0)).write_bytes(data)
    return folder / name


def test_a_wrong_frame_is_named_by_its_file(tmp_path):
    def refused(second: np.ndarray) -> str:
        np.save(tmp_path / "0.npy", DEPTH.numpy())
        np.save(tmp_path / "1.npy", second)
        text = message(tmp_path, 2, 3)
        assert text.startswith(str(tmp_path / "1.npy"))
        return text

    wrong = DEPTH.numpy().copy()
    wrong[0, 0] = np.nan
    assert "1 of 6 pixels have NaN" in refused(wrong)
    assert "6 of 6 pixels have negative" in refused(-np.ones((2, 3), np.float32))
    assert "zero depth" in refused(np.zeros((2, 3), np.float32))
    assert "aspects differ" in refused(np.ones((2, 4), np.float32))
    assert "array of floats" in refused(np.ones((2, 3), np.uint16))
    assert "expected (height, width)" in refused(np.ones((1, 2, 3), np.float32))
    (tmp_path / "p").mkdir()
    cv2.imwrite(str(tmp_path / "p" / "0.png"), np.ones((2, 3), np.uint8))
    assert "0.png: found 8-bit pixels with 1 channel(s), expected 16-bit" in message(tmp_path / "p", 2, 3)


def test_what_cannot_be_written_is_refused(tmp_path):
    path = tmp_path / "0.png"
    for wrong in (100.0, 0.0001):
        with pytest.raises(InputError, match=r"a scale of 0\.001 holds 0\.0005 to 65\.5345"):
            write_depth_png16(path, torch.full((2, 3), wrong))
    for shape in ((2, 3, 1), (6,)):
        with pytest.raises(ValueError, match="expected depth"):
            write_depth_png16(path, torch.ones(shape))
    with pytest.raises(ValueError, match="without NaN"):
        write_depth_npy(tmp_path / "0.npy", torch.full((2, 3), torch.nan))
    assert not list(tmp_path.iterdir())


def test_natural_order():
    names = ["f2", "f10", "f1", "f01", "a3b2", "a3b10", "10", "9"]
    assert sorted(names, key=natural_key) == ["9", "10", "a3b2", "a3b10", "f01", "f1", "f2", "f10"]
    natural_key("7" * 10_000)  # longer than int() takes
