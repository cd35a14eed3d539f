"""The chunked cloud against a plain list of all points."""

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings

from render_refine.camera import Camera, pose_from
from render_refine.chunks import MARGIN, ChunkedCloud
from render_refine.points import PointCloud


def scattered(seed: int, count: int = 3000, size: float = 20.0) -> PointCloud:
    generator = torch.Generator().manual_seed(seed)
    xyz = size * (torch.rand(count, 3, generator=generator) - 0.5)
    colours = torch.randint(0, 256, (count, 3), generator=generator).to(torch.uint8)
    return PointCloud(xyz, colours, 0.02 * 2 ** (3 * torch.rand(count, generator=generator)))


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
