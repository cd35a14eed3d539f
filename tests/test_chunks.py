"""The chunked cloud against a plain list of all points."""

import errno
import gc
import math
import os
import signal
import subprocess
import sys
import tempfile
from typing import Any

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings

from render_refine.camera import Camera, pose_from
from render_refine.chunks import MARGIN, ChunkedCloud, _File
from render_refine.memory import WorldMemory
from render_refine.points import PointCloud


def scattered(seed: int, count: int = 3000, size: float = 20.0) -> PointCloud:
    generator = torch.Generator().manual_seed(seed)
    xyz = size * (torch.rand(count, 3, generator=generator) - 0.5)
    colours = torch.randint(0, 256, (count, 3), generator=generator).to(torch.uint8)
    return PointCloud(xyz, colours, 0.02 * 2 ** (3 * torch.rand(count, generator=generator)))


# Sees everything, and nothing of it is too fine for its pixels.
OVERVIEW = Camera.from_fov(300, 400, 1.5, pose_from(torch.tensor([0.0, 0.0, -30.0])))


def filled(cloud: PointCloud, parts: int = 5, resident: int = 10**9) -> ChunkedCloud:
    chunked = ChunkedCloud(resident=resident)
    for part in torch.arange(len(cloud)).chunk(parts):
        chunked.append(cloud[part])
    return chunked


def rows(cloud: PointCloud) -> set[tuple[float, ...]]:
    table = torch.cat([cloud.xyz, cloud.features.float(), cloud.footprint[:, None]], dim=1)
    return set(map(tuple, table.tolist()))


def truly_seen(cloud: PointCloud, camera: Camera) -> torch.Tensor:
    uv, z = camera.project(cloud.xyz)
    size = uv.new_tensor([camera.width, camera.height])
    return (z > 0) & (uv > -MARGIN).all(-1) & (uv < size + MARGIN).all(-1)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 100),
    position=st.tuples(*[st.floats(-12, 12)] * 3),
    angles=st.tuples(*[st.floats(-3.1, 3.1)] * 3),
    fov=st.floats(0.2, 1.2),
)
def test_no_point_in_the_view_is_missed(seed, position, angles, fov):
    cloud = scattered(seed)
    camera = Camera.from_fov(300, 400, fov, pose_from(torch.tensor(position), *angles))
    found = filled(cloud).seen_by(camera)
    # (No point here is so fine that it would be left out.)
    assert rows(cloud[truly_seen(cloud, camera)]) <= rows(found)
    assert len(found) == len(rows(found) & rows(cloud))


def test_what_is_behind_or_aside_is_not_looked_at():
    chunked = filled(scattered(1, 20_000, size=400.0))
    camera = Camera.from_fov(30, 40, 0.8)
    seen = chunked.seen_by(camera)
    assert 0 < len(seen) < 0.25 * len(chunked)
    assert len(chunked.seen_by(camera.at(pose_from(torch.tensor([0.0, 0.0, 500.0]))))) == 0


@pytest.mark.parametrize("resident", [0, 1, 700, 3000])
def test_points_come_back_from_disk(resident):
    cloud = scattered(2)
    everything, evicting = filled(cloud), filled(cloud, resident=resident)
    assert evicting.in_memory <= resident
    generator = torch.Generator().manual_seed(3)
    for k in range(12):
        turn = 6 * torch.rand(2, generator=generator)
        camera = Camera.from_fov(30, 40, 1.0, pose_from(torch.zeros(3), float(turn[0]), float(turn[1]) - 3))
        seen = evicting.seen_by(camera)
        assert rows(seen) == rows(everything.seen_by(camera))
        assert evicting.in_memory <= max(resident, len(seen))
        # What is added to a place that lies on disk joins it.
        more = scattered(100 + k, 50)
        everything.append(more)
        evicting.append(more)
    assert len(evicting) == len(everything) == 3600


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 1000), resident=st.integers(0, 4000))
def test_a_render_is_the_same_to_the_bit_whatever_lies_on_disk(seed, resident):
    one, other = WorldMemory(), WorldMemory()
    other.surface, other.dome = ChunkedCloud(resident=resident), ChunkedCloud(resident=resident // 4)
    generator = torch.Generator().manual_seed(seed)
    for _ in range(4):
        place, yaw, pitch = torch.randn(3, generator=generator), *(torch.rand(2, generator=generator) - 0.5).tolist()
        camera = Camera.from_fov(24, 36, 1.0, pose_from(place, yaw, pitch))
        views = [memory.render(camera) for memory in (one, other)]
        for name in ("rgb", "depth", "density", "known"):
            assert torch.equal(*(getattr(view, name) for view in views)), name
        rgb = torch.rand(3, 24, 36, generator=generator)
        depth = 1 + 30 * torch.rand(24, 36, generator=generator) ** 3
        depth[:6] = math.inf
        for memory in (one, other):
            memory.write(rgb, depth, camera)
    assert len(other.surface) == len(one.surface)


def bytes_of_tensors() -> int:
    storages = (t.untyped_storage() for t in gc.get_objects() if type(t) is torch.Tensor)
    return sum({storage.data_ptr(): storage.nbytes() for storage in storages}.values())


def test_what_lies_on_disk_takes_no_memory():
    before = bytes_of_tensors()
    chunked = ChunkedCloud(resident=2000)
    for k in range(20):
        cloud = scattered(k)
        chunked.append(PointCloud(cloud.xyz + 100 * k, cloud.features, cloud.footprint))
    del cloud
    assert len(chunked) == 60_000
    assert chunked.in_memory <= 2000
    # A point takes 19 bytes, and what grows may have twice the room; the rest is the chunks' bounds, 28 bytes each.
    assert bytes_of_tensors() - before < 2 * (2000 * 19 + 28 * len(chunked._chunks))


class Reads:
    """How many points were read from disk."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.points = 0
        read = _File.read

        def counted(file: _File, place: int, count: int) -> PointCloud:
            self.points += count
            return read(file, place, count)

        monkeypatch.setattr(_File, "read", counted)


@pytest.mark.parametrize("resident", [0, 2000])
def test_what_stays_in_view_is_read_once(monkeypatch, resident):
    chunked, reads = filled(scattered(4, 10_000), resident=resident), Reads(monkeypatch)
    camera = Camera.from_fov(300, 400, 1.2, pose_from(torch.tensor([0.0, 0.0, -14.0])))
    first = chunked.seen_by(camera)
    assert len(first) > 2000
    assert 0 < reads.points <= len(first)
    reads.points = 0
    for k in range(1, 4):
        # What is painted into the view joins it; what is painted elsewhere goes to disk in its stead.
        elsewhere = scattered(60 + k, 3000)
        away = elsewhere.xyz - torch.tensor([0.0, 0.0, 200.0 * k])
        chunked.append(PointCloud(away, elsewhere.features, elsewhere.footprint))
        chunked.append(first[:100])
        seen = chunked.seen_by(camera)
        assert len(seen) == len(first) + 100 * k
        assert rows(seen) == rows(first)
        assert chunked.in_memory == max(len(seen), resident)
    assert reads.points == 0


def test_a_camera_that_turns_reads_what_comes_into_view(monkeypatch):
    chunked, reads = filled(scattered(5, 20_000), resident=0), Reads(monkeypatch)
    whole = filled(scattered(5, 20_000))
    before: set[tuple[float, ...]] = set()
    for k in range(8):
        camera = Camera.from_fov(300, 400, 0.7, pose_from(torch.zeros(3), yaw=0.1 * k))
        reads.points, seen = 0, rows(whole.seen_by(camera))
        assert rows(chunked.seen_by(camera)) == seen
        assert reads.points == len(seen - before)
        before = seen


class SmallDisk:
    """A temporary file on a disk that has room for so many bytes."""

    room = 0.0

    def __init__(self, **options: Any) -> None:
        self._file = TEMPORARY_FILE(**options)
        self.seek, self.readinto = self._file.seek, self._file.readinto

    def write(self, data: memoryview) -> int:
        if not SmallDisk.room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        count = self._file.write(data[: int(min(len(data), SmallDisk.room))])
        SmallDisk.room -= count
        return count


TEMPORARY_FILE = tempfile.TemporaryFile


@pytest.mark.parametrize("room", [0, 1, 5000, 40_000])
def test_a_full_disk_is_one_clear_error_and_loses_nothing(monkeypatch, room):
    monkeypatch.setattr(tempfile, "TemporaryFile", SmallDisk)
    monkeypatch.setattr(SmallDisk, "room", float(room))
    cloud, more, chunked = scattered(6), scattered(7), ChunkedCloud(resident=100)
    with pytest.raises(OSError, match=r"cannot write to the temporary folder .*TMPDIR.*No space left") as caught:
        chunked.append(cloud)
    assert caught.value.errno == errno.ENOSPC
    assert "\n" not in str(caught.value)
    assert len(chunked) == len(cloud)
    # Then somebody makes room.
    SmallDisk.room = math.inf
    chunked.append(more)
    assert chunked.in_memory <= 100
    assert rows(chunked.seen_by(OVERVIEW)) == rows(cloud) | rows(more)


@pytest.mark.skipif(os.name != "posix", reason="signals")
@pytest.mark.parametrize("end", ["interrupt", "kill", "exception"])
def test_the_temporary_file_goes_with_the_process(tmp_path, end):
    code = """
import signal, sys, time, torch
from render_refine.chunks import ChunkedCloud
from render_refine.points import PointCloud
signal.signal(signal.SIGINT, signal.default_int_handler)  # whatever the tests were started from
chunked = ChunkedCloud(resident=10)
for k in range(3):
    chunked.append(PointCloud(torch.rand(1000, 3) + k, torch.zeros(1000, 3, dtype=torch.uint8), torch.ones(1000)))
assert chunked.in_memory <= 10
print("written", flush=True)
if sys.argv[1] == "exception":
    raise RuntimeError
time.sleep(30)
"""
    child = subprocess.Popen(
        [sys.executable, "-c", code, end],
        env={**os.environ, "TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    with child:
        assert child.stdout.readline() == b"written\n"
        if end != "exception":
            child.send_signal(signal.SIGINT if end == "interrupt" else signal.SIGKILL)
    assert child.returncode != 0
    assert not list(tmp_path.iterdir())


def test_far_too_fine_points_are_thinned_and_still_cover():
    # A wall seen through pixels of 0.01 at distance one, from a hundred units away: 10,000 points a pixel.
    side = torch.arange(400) * 0.01
    x, y = torch.meshgrid(side, side, indexing="xy")
    xyz = torch.stack([x.flatten() - 2, y.flatten() - 2, torch.full((160_000,), 100.0)], dim=1)
    wall = PointCloud(xyz, torch.zeros(160_000, 3, dtype=torch.uint8), torch.full((160_000,), 0.01))
    camera = Camera.from_fov(100, 100, 0.9)
    chunked = filled(wall, parts=1)
    seen = chunked.seen_by(camera)
    pixel = 100 / float(camera.focal)
    wanted = (4 / pixel) ** 2  # pixels that the wall covers
    assert 4 * wanted < len(seen) < 0.1 * len(wall)
    uv, _ = camera.project(seen.xyz)
    covered = len(set(map(tuple, uv.floor().long().tolist())))
    assert covered >= wanted
    near = camera.at(pose_from(torch.tensor([0.0, 0.0, 99.0])))
    assert rows(chunked.seen_by(near)) >= rows(wall[truly_seen(wall, near)])


def test_nothing_is_a_cloud_too():
    chunked = ChunkedCloud()
    chunked.append(PointCloud.empty())
    assert len(chunked) == 0
    assert len(chunked.seen_by(Camera.from_fov(3, 4, 1.0))) == 0
