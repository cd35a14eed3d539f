"""Training clips: reproducible, resumable, exact after a round trip through the disk."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from pipelines.training.clip_paths import STEP, Move, street_path
from pipelines.training.clip_set import Clip, ClipSet, render_clip
from pipelines.worlds import Street
from render_refine.camera import Camera
from render_refine.warp import backward_warp
from vid2vid.classes import CLASSES, MOVING, class_ids

FRAMES, HEIGHT, WIDTH = 4, 80, 128


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clips")
    clips = small(folder, 4)
    folder.joinpath("keep").touch()
    for k in range(4):
        clips._make_one(k)
    return folder


def small(folder: Path, count: int, seed: int = 0) -> ClipSet:
    return ClipSet(folder, count, frames=FRAMES, height=HEIGHT, width=WIDTH, seed=seed)


def test_stored_clips_are_the_rendered_ones(folder: Path):
    for k in (0, 1):
        kept, fresh = small(folder, 4)[k], render_clip(0, k, FRAMES, HEIGHT, WIDTH)
        assert (kept.rgb - fresh.rgb).abs().max() <= 0.5 / 255 + 1e-6
        assert torch.equal(kept.labels, fresh.labels)
        assert torch.equal(kept.depth.isinf(), fresh.depth.isinf())
        known = fresh.depth.isfinite()
        torch.testing.assert_close(kept.depth[known], fresh.depth[known], rtol=1e-3, atol=0)
        for a, b in zip(kept.cameras, fresh.cameras, strict=True):
            assert torch.equal(a.cam_from_world, b.cam_from_world) and torch.equal(a.K, b.K)
        for t in range(1, FRAMES):
            torch.testing.assert_close(kept.shift_back(t), fresh.shift_back(t))


def test_making_again_renders_only_what_is_missing(folder: Path):
    clips = small(folder, 4)
    lost, kept = clips.path(2), clips.path(1)
    whole, stamp = lost.read_bytes(), kept.stat().st_mtime_ns
    lost.unlink()
    clips.make(processes=1)
    assert lost.read_bytes() == whole
    assert kept.stat().st_mtime_ns == stamp
    assert not list(folder.glob("*.partial"))


def test_another_seed_is_another_clip(folder: Path):
    other = render_clip(1_000_000, 0, 1, HEIGHT, WIDTH)
    assert (other.rgb[0] - small(folder, 4)[0].rgb[0]).abs().mean() > 0.02


def test_flow_back_brings_the_colours_of_the_frame_before(folder: Path):
    clips = small(folder, 4)
    for k in range(4):
        clip = clips[k]
        for t in range(1, FRAMES):
            seen = clip.visible_back(t)
            assert seen.float().mean() > 0.6
            warped, valid = backward_warp(clip.rgb[t - 1][None], clip.flow_back(t)[None])
            assert valid[0, 0][seen].all()
            error = (warped[0] - clip.rgb[t]).square().mean(0)[seen].mean()
            still = (clip.rgb[t - 1] - clip.rgb[t]).square().mean()
            assert -10 * error.log10() > (26 if k % 2 == 0 else 23)
            assert error < still or still < 1e-4


def test_flow_back_is_exact_on_what_moves():
    """A world of one plane that moves to the right and a camera that stands."""
    camera = Camera.from_fov(20, 30, 1.0)
    labels = torch.full((2, 20, 30), CLASSES.index("car"))
    depth = torch.full((2, 20, 30), 5.0)
    moving = torch.ones_like(labels)
    motions = torch.tensor([[0.0, 0.0, 0.0], [0.4, 0.0, 0.0]])
    clip = Clip(torch.rand(2, 3, 20, 30), labels, depth, [camera, camera], moving, motions)
    pixels = float(camera.focal) * 0.4 / 5
    flow = clip.flow_back(1)
    torch.testing.assert_close(flow[0], torch.full((20, 30), -pixels), atol=1e-4, rtol=0)
    torch.testing.assert_close(flow[1], torch.zeros(20, 30), atol=1e-4, rtol=0)
    column = torch.arange(30) + 0.5 - pixels
    assert torch.equal(clip.visible_back(1), (column >= 0.5).expand(20, 30))
    # What comes nearer than the depth of the frame before says was not that point.
    nearer = Clip(clip.rgb, labels, torch.stack([depth[0], 0.8 * depth[0]]), [camera, camera], moving, motions)
    assert not nearer.visible_back(1).any()


def test_only_things_that_can_move_do(folder: Path):
    clip = small(folder, 4)[0]
    able = torch.isin(clip.labels, torch.tensor(class_ids(MOVING)))
    assert not (clip.moving[~able] > 0).any()
    assert (small(folder, 4)[1].moving == 0).all()


def test_street_cameras_run_into_nothing_and_move_as_fast_as_they_say():
    for seed in range(6):
        g = torch.Generator().manual_seed(seed)
        street = Street.random(g)
        path = street_path(street, g, 6, 24, 40)
        steps = []
        for k, camera in enumerate(path):
            assert street.clear(camera.centre[None], STEP * k, room=0.4)
            if k:
                steps.append(float((camera.centre - path[k - 1].centre).norm()))
        assert max(steps) < 1.2
        assert max(steps) - min(steps) < 0.2


def test_one_move_in_ten_stands_still():
    g = torch.Generator().manual_seed(0)
    moves = [Move.random(g) for _ in range(2000)]
    fixed = sum(m == Move(0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0) for m in moves)
    assert 0.07 < fixed / 2000 < 0.13
