"""Depth maps from files: every format says the same, and what is no depth is refused by name."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from pipelines.errors import InputError
from pipelines.media.depth_files import read_depth, resize_depth


def message(*arguments) -> str:
    with pytest.raises(InputError) as caught:
        read_depth(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


DEPTH = np.array([[1.0, 2.0, np.inf], [4.0, 8.0, np.inf]])


def pfm(depth: np.ndarray, order: str = "<") -> bytes:
    height, width = depth.shape
    return (
        f"Pf\n{width} {height}\n{-1.0 if order == '<' else 1.0}\n".encode() + depth[::-1].astype(f"{order}f4").tobytes()
    )


def test_all_depth_formats_say_the_same(tmp_path):
    np.save(tmp_path / "a.npy", DEPTH)
    np.save(tmp_path / "half.npy", DEPTH.astype(np.float16))
    (tmp_path / "little.pfm").write_bytes(pfm(DEPTH))
    (tmp_path / "big.pfm").write_bytes(pfm(DEPTH, ">"))
    inverse = np.where(np.isinf(DEPTH), 0, np.round(65535 / DEPTH)).astype(np.uint16)
    cv2.imwrite(str(tmp_path / "a.png"), inverse)
    for file in tmp_path.iterdir():
        depth = read_depth(file, 2, 3)
        assert depth.dtype == torch.float32
        np.testing.assert_allclose(depth, DEPTH, rtol=1e-4, err_msg=file.name)


def test_exr_depth(tmp_path):
    OpenEXR = pytest.importorskip("OpenEXR")
    depth = np.where(np.isinf(DEPTH), 1e10, DEPTH).astype(np.float32)  # as Blender writes its background
    header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
    OpenEXR.File(header, {"Z": depth}).write(str(tmp_path / "a.exr"))
    OpenEXR.File(header, {"A": depth, "B": depth}).write(str(tmp_path / "ab.exr"))
    np.testing.assert_allclose(read_depth(tmp_path / "a.exr", 2, 3), DEPTH, rtol=1e-5)
    assert "expected Z" in message(tmp_path / "ab.exr", 2, 3)


def test_resizing_is_linear_in_inverse_depth_and_keeps_the_sky_apart():
    disparity = torch.linspace(0.1, 1.0, 32).expand(16, 32)  # a plane, seen in perspective
    larger = 1 / resize_depth(1 / disparity, 32, 64)
    step = (1.0 - 0.1) / 31
    expected = 0.1 + step * (((torch.arange(64) + 0.5) / 2) - 0.5)
    torch.testing.assert_close(larger[7, 2:-2], expected[2:-2], rtol=1e-4, atol=1e-5)
    ridge = torch.full((8, 8), 5.0)
    ridge[:4] = torch.inf
    for size in ((16, 16), (32, 32), (4, 4)):
        resized = resize_depth(ridge, *size)
        assert torch.isinf(resized[: size[0] // 2]).all()
        torch.testing.assert_close(resized[size[0] // 2 :], torch.full((size[0] // 2, size[1]), 5.0))


def test_wrong_depth_maps_are_named(tmp_path):
    def refused(array: np.ndarray, height: int = 2, width: int = 3) -> str:
        np.save(tmp_path / "a.npy", array)
        return message(tmp_path / "a.npy", height, width)

    broken = DEPTH.copy()
    broken[0, 0] = np.nan
    assert "1 of 6 pixels have NaN" in refused(broken)
    assert "negative" in refused(-DEPTH)
    assert "6 of 6 pixels have zero depth" in refused(np.zeros((2, 3)))
    assert "every pixel is sky" in refused(np.full((2, 3), np.inf))
    assert "aspects differ" in refused(DEPTH, 2, 4)
    assert "expected (height, width)" in refused(np.ones((2, 3, 1)))
    assert "expected an array of floats" in refused(np.ones((2, 3), int))
    np.save(tmp_path / "pickle.npy", np.array([{}], object), allow_pickle=True)
    assert "not a NumPy array" in message(tmp_path / "pickle.npy", 2, 3)
    (tmp_path / "cut.npy").write_bytes((tmp_path / "a.npy").read_bytes()[:-8])
    (tmp_path / "cut.pfm").write_bytes(pfm(DEPTH)[:-1])
    (tmp_path / "junk.exr").write_bytes(b"junk")
    cv2.imwrite(str(tmp_path / "eight.png"), np.ones((2, 3), np.uint8))
    for name, part in {
        "cut.npy": "not a NumPy array",
        "cut.pfm": "cut short",
        "eight.png": "expected 16-bit grey",
        "junk.exr": "EXR",
        "a.txt": "expected a depth map named",
        "missing.npy": "no such file",
    }.items():
        assert part in message(tmp_path / name, 2, 3)
