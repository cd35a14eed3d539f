"""Point clouds and depth maps that are written: another reader finds what was meant."""

import numpy as np
import pytest
import torch

from pipelines.errors import InputError
from pipelines.media.depth_files import read_depth
from pipelines.media.depth_writers import write_depth
from pipelines.media.point_files import write_points


def read_ply(data: bytes) -> tuple[list[str], np.ndarray]:
    """The header's lines, and (N, 15) bytes."""
    head, _, body = data.partition(b"end_header\n")
    return head.decode().splitlines(), np.frombuffer(body, np.uint8).reshape(-1, 15)


def test_points_are_where_and_what_they_were(tmp_path):
    xyz = torch.tensor([[1.5, -2.0, 3.25], [0.0, 1e-3, 1e3]])
    rgb = torch.tensor([[0.0, 0.5, 1.0], [0.1, -0.2, 1.7]])
    write_points(tmp_path / "a.ply", xyz, rgb)
    header, body = read_ply((tmp_path / "a.ply").read_bytes())
    assert header[:2] == ["ply", "format binary_little_endian 1.0"]
    assert "element vertex 2" in header
    assert [line.split()[1:] for line in header if line.startswith("property")] == [
        *(["float", axis] for axis in "xyz"),
        *(["uchar", colour] for colour in ("red", "green", "blue")),
    ]
    np.testing.assert_array_equal(np.ascontiguousarray(body[:, :12]).view("<f4"), xyz.numpy())
    np.testing.assert_array_equal(body[:, 12:], [[0, 128, 255], [26, 0, 255]])


def test_an_empty_cloud_is_a_file_too(tmp_path):
    write_points(tmp_path / "a.ply", torch.zeros(0, 3), torch.zeros(0, 3))
    header, body = read_ply((tmp_path / "a.ply").read_bytes())
    assert "element vertex 0" in header and len(body) == 0


def test_points_that_are_none_are_refused_and_nothing_is_left(tmp_path):
    for xyz, rgb in (
        (torch.zeros(2, 3), torch.zeros(3, 3)),
        (torch.zeros(2, 2), torch.zeros(2, 2)),
        (torch.full((2, 3), torch.inf), torch.zeros(2, 3)),
    ):
        with pytest.raises(ValueError, match="expected"):
            write_points(tmp_path / "a.ply", xyz, rgb)
    with pytest.raises(InputError, match="cannot write"):
        write_points(tmp_path / "none" / "a.ply", torch.zeros(2, 3), torch.zeros(2, 3))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["d.npy", "d.pfm", "d.exr", "d.png"])
def test_written_depth_reads_back(tmp_path, name):
    if name.endswith("exr"):
        pytest.importorskip("OpenEXR")
    generator = torch.Generator().manual_seed(0)
    depth = 0.4 + 30 * torch.rand(20, 31, generator=generator)
    depth[:4] = torch.inf
    depth[4, 0] = 0.4
    write_depth(tmp_path / name, depth)
    assert [file.name for file in tmp_path.iterdir()] == [name]
    again = read_depth(tmp_path / name, 20, 31)
    # A PNG holds inverse depth in 16 bits, without a unit.
    expected, exact = (depth / 0.4, 2e-3) if name.endswith("png") else (depth, 1e-6)
    torch.testing.assert_close(again, expected, rtol=exact, atol=0)


def test_what_is_far_in_a_png_is_not_sky(tmp_path):
    write_depth(tmp_path / "d.png", torch.tensor([[1e-3, 1e6], [1.0, torch.inf]]))
    assert torch.isfinite(read_depth(tmp_path / "d.png", 2, 2)).tolist() == [[True, True], [True, False]]


def test_depth_that_cannot_be_written_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"ending in \.npy, \.png, \.pfm, \.exr"):
        write_depth(tmp_path / "d.jpg", torch.ones(2, 2))
    for name in ("d.npy", "d.png", "d.pfm"):
        with pytest.raises(InputError, match="cannot write"):
            write_depth(tmp_path / "none" / name, torch.ones(2, 2))
        with pytest.raises(ValueError, match="without NaN"):
            write_depth(tmp_path / name, torch.full((2, 2), torch.nan))
    assert not list(tmp_path.iterdir())
