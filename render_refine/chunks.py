"""Point storage at scale: what a camera cannot see costs nothing, and what was not seen for long lies on disk.

Points go into chunks: cubes of the world whose side is about ``CHUNK`` footprints of the points within, so that a chunk
holds one level of detail of one place, a few thousand points. A frame asks for the chunks in its view; of those whose
points are many times finer than its pixels it takes a part.
"""

from __future__ import annotations

import tempfile

import torch
from torch import Tensor

from render_refine.camera import Camera
from render_refine.points import PointCloud

CHUNK = 256  # side of a chunk, in footprints of its finest points
MARGIN = 1.5  # pixels by which a point outside the picture may reach into it
TOO_FINE = -3.0  # octaves: from 8 points to a pixel's side on, some are left out


class ChunkedCloud:
    """A point cloud to append to and to look at; points are never changed or removed.

    Args:
        device: where the points are.
        resident: how many points are kept in memory, or as many as are in view, if these are more; of the others,
            those seen longest ago go to a temporary file (in the folder that ``tempfile.gettempdir`` says).

    Raises:
        OSError: by ``append`` and ``seen_by``, if that folder has no room. No point is lost by it.
    """

    def __init__(self, device: torch.device | str = "cpu", resident: int = 16_000_000) -> None:
        self.device = torch.device(device)
        self.resident = resident
        self._chunks: list[_Chunk] = []
        self._numbers: dict[int, int] = {}  # by key
        self._bounds = _Growing(torch.zeros(0, 7, device=device))  # lowest corner, highest corner, finest footprint
        self._loaded: dict[int, None] = {}  # numbers of the chunks in memory, the one seen longest ago first
        self._in_view: set[int] = set()  # at the last look
        self._file: _File | None = None
        self._count = self._in_memory = 0

    def __len__(self) -> int:
        return self._count

    @property
    def in_memory(self) -> int:
        """Points that are not on disk alone."""
        return self._in_memory

    def append(self, cloud: PointCloud) -> None:
        """Add points."""
        if not len(cloud):
            return
        key, order = _keys(cloud).sort(stable=True)
        keys, counts = key.unique_consecutive(return_counts=True)
        cloud = cloud[order]
        start = 0
        for k, count in zip(keys.tolist(), counts.tolist(), strict=True):
            self._append_to(k, cloud[start : start + count])
            start += count
        self._count += len(cloud)
        self._evict()

    def seen_by(self, camera: Camera) -> PointCloud:
        """The points that ``camera`` may see, chunk by chunk, thinned where they are far finer than its pixels."""
        number, stride = (found.tolist() for found in self._visible(camera))
        parts = []
        for n, step in zip(number, stride, strict=True):
            parts.append(self._load(n)[::step] if step > 1 else self._load(n))
        seen = PointCloud.cat(parts) if parts else PointCloud.empty(device=self.device)
        self._in_view = set(number)
        self._evict()
        return seen

    def _visible(self, camera: Camera) -> tuple[Tensor, Tensor]:
        """Numbers of the chunks in the view, and every how manieth of their points it needs."""
        bounds = self._bounds.values
        low, high, footprint = bounds[:, :3], bounds[:, 3:6], bounds[:, 6]
        centre, half = 0.5 * (low + high), 0.5 * (high - low)
        pose, K = camera.cam_from_world, camera.K
        # A side of the view is the plane through the camera and an edge of the picture, its normal pointing inwards.
        left, top = K[:, 0] * 0, K[:, 0] * 0
        left[:3], top[:3] = K[0] + MARGIN * K[2], K[1] + MARGIN * K[2]
        right, bottom = (camera.width + MARGIN) * K[2] - K[0], (camera.height + MARGIN) * K[2] - K[1]
        normals = torch.stack([left, right, top, bottom, K[2]]) @ pose[:3, :3]
        offsets = torch.stack([left, right, top, bottom, K[2]]) @ pose[:3, 3]
        # The corner of the box that lies farthest inwards.
        reach = centre @ normals.T + half @ normals.abs().T + offsets
        number = (reach > 0).all(dim=1).nonzero().squeeze(1)
        nearest = (centre @ pose[2, :3] - half @ pose[2, :3].abs() + pose[2, 3])[number]
        # Points per side of a pixel, in octaves, where the chunk is nearest and its points are coarsest.
        octaves = torch.log2(2 * footprint[number] * camera.focal / nearest.clamp_min(1e-12))
        surplus = torch.where(nearest > 0, (TOO_FINE - octaves).clamp(0, 12).floor(), 0.0)
        return number, torch.exp2(2 * surplus).long()

    def _append_to(self, key: int, cloud: PointCloud) -> None:
        number = self._numbers.get(key)
        low, high, finest = cloud.xyz.amin(dim=0), cloud.xyz.amax(dim=0), cloud.footprint.amin()
        if number is None:
            number = self._numbers[key] = len(self._chunks)
            self._chunks.append(_Chunk(cloud))
            self._bounds.append(torch.cat([low, high, finest[None]])[None])
        else:
            self._load(number)
            self._chunks[number].append(cloud)
            row = self._bounds.values[number]
            row[:3], row[3:6] = torch.minimum(row[:3], low), torch.maximum(row[3:6], high)
            row[6] = torch.minimum(row[6], finest)
        self._in_memory += len(cloud)
        self._touch(number)

    def _load(self, number: int) -> PointCloud:
        chunk = self._chunks[number]
        if chunk.cloud is None:
            assert self._file is not None
            chunk.read(self._file)
            self._in_memory += len(chunk)
        self._touch(number)
        assert chunk.cloud is not None
        return chunk.cloud.values

    def _touch(self, number: int) -> None:
        self._loaded.pop(number, None)
        self._loaded[number] = None

    def _evict(self) -> None:
        """Move chunks to disk until few enough points are in memory. What is in view stays: the next frame sees it."""
        if self._in_memory <= self.resident:
            return
        for number in [n for n in self._loaded if n not in self._in_view]:
            if self._file is None:
                self._file = _File()
            self._chunks[number].write(self._file)
            del self._loaded[number]
            self._in_memory -= len(self._chunks[number])
            if self._in_memory <= self.resident:
                return


def _keys(cloud: PointCloud) -> Tensor:
    """(N,) int64: the chunk of each point, from its level (8 bits) and cell (18 bits an axis, which come round)."""
    level = cloud.footprint.clamp_min(1e-30).log2().floor()
    cell = (cloud.xyz / (CHUNK * torch.exp2(level))[:, None]).floor().long() & (2**18 - 1)
    return (level.long() & 255) << 54 | cell[:, 0] << 36 | cell[:, 1] << 18 | cell[:, 2]


class _Growing:
    """A tensor that is appended to: storage doubles, so appending costs what is appended."""

    def __init__(self, values: Tensor) -> None:
        self._storage, self._count = values, len(values)

    def __len__(self) -> int:
        return self._count

    @property
    def values(self) -> Tensor:
        return self._storage[: self._count]

    def append(self, values: Tensor) -> None:
        needed = self._count + len(values)
        if needed > len(self._storage):
            room = max(needed, 2 * len(self._storage))
            spare = values.new_zeros(room - self._count, *values.shape[1:])
            self._storage = torch.cat([self.values, spare])
        self._storage[self._count : needed] = values
        self._count = needed


class _GrowingCloud:
    def __init__(self, cloud: PointCloud) -> None:
        self._parts = [_Growing(t) for t in (cloud.xyz, cloud.features, cloud.footprint)]

    @property
    def values(self) -> PointCloud:
        return PointCloud(*(part.values for part in self._parts))

    def append(self, cloud: PointCloud) -> None:
        for part, new in zip(self._parts, (cloud.xyz, cloud.features, cloud.footprint), strict=True):
            part.append(new)


class _File:
    """Points in a temporary file. It has no name, or loses it when it is closed, so that nothing stays behind."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile(prefix="viewsynth-", buffering=0)  # noqa: SIM115 (open as long as this is)
        self._end = 0

    def append(self, cloud: PointCloud) -> int:
        """The place where the points begin; where there is no room for all of them, nothing changes."""
        self._file.seek(self._end)
        end = self._end
        for tensor in (cloud.xyz, cloud.features, cloud.footprint):
            data = tensor.contiguous().cpu().view(-1).view(torch.uint8).numpy().data
            end += len(data)
            while len(data):
                data = data[self._write(data) :]
        begin, self._end = self._end, end
        # One for all: if every chunk kept its own, these small pieces would hold the memory around them together.
        self._like = cloud.map(lambda t: t.new_empty(0, *t.shape[1:]))
        return begin

    def _write(self, data: memoryview) -> int:
        try:
            return self._file.write(data)
        except OSError as error:
            held = f"{self._end / 2**20:.0f} MiB of the world's points lie there already"
            hint = "set TMPDIR to a folder with more room"
            where = f"cannot write to the temporary folder {tempfile.gettempdir()}"
            raise OSError(error.errno, f"{where} ({held}; {hint}): {error.strerror}") from error

    def read(self, place: int, count: int) -> PointCloud:
        """``count`` points that ``append`` put at ``place``."""
        self._file.seek(place)
        return self._like.map(lambda like: self._read(like, count))

    def _read(self, like: Tensor, count: int) -> Tensor:
        tensor = torch.empty(count, *like.shape[1:], dtype=like.dtype)
        data = tensor.view(-1).view(torch.uint8).numpy().data
        while len(data):
            data = data[self._file.readinto(data) :]
        return tensor.to(like.device)


class _Chunk:
    """The points of one cube and level: in memory, on disk, or both; what is on disk never changes."""

    def __init__(self, cloud: PointCloud) -> None:
        # A copy, since a part of a frame would keep all of that frame in memory.
        self.cloud: _GrowingCloud | None = _GrowingCloud(cloud.map(torch.clone))
        self._count = len(cloud)
        self._blocks: list[tuple[int, int]] = []  # places in the file, and how many points lie there

    def __len__(self) -> int:
        return self._count

    def append(self, cloud: PointCloud) -> None:
        assert self.cloud is not None
        self.cloud.append(cloud)
        self._count += len(cloud)

    def write(self, file: _File) -> None:
        """Forget the points, after those that are not in the file have been appended to it."""
        assert self.cloud is not None
        written = sum(count for _, count in self._blocks)
        if written < self._count:
            new = self.cloud.values[written:]
            self._blocks.append((file.append(new), len(new)))
        self.cloud = None

    def read(self, file: _File) -> None:
        """Take the points back into memory."""
        self.cloud = _GrowingCloud(PointCloud.cat([file.read(place, count) for place, count in self._blocks]))
