"""Training clips panned over stills, and the exact motion between two known views."""

from __future__ import annotations

import torch

from pipelines.training.clip_batch import StillClips
from render_refine.camera import Camera, pose_from
from render_refine.warp import backward_warp, visible_motion


class Smooth:
    """One still whose colours are smooth, so that sampling it twice changes little; its labels are stripes."""

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index):
        v, u = torch.meshgrid(torch.linspace(0, 3, 120), torch.linspace(0, 4, 160), indexing="ij")
        rgb = torch.stack([u.sin(), v.cos(), (u + v).sin()]) * 0.4 + 0.5
        return rgb, (u > 2).long() * 8


def test_frames_of_a_still_match_by_the_flow():
    source = StillClips(Smooth(), 64, 80)
    for seed in range(6):
        batch = source.batch(2, 5, torch.Generator().manual_seed(seed))
        assert batch.rgb.shape == (2, 5, 3, 64, 80)
        for frame, other in ((4, 3), (4, 0), (0, 2)):
            match = batch.match(frame, other)
            warped, inside = backward_warp(batch.rgb[:, other], match.flow)
            wrong = ((warped - batch.rgb[:, frame]).abs() * (match.visible & inside)).max()
            assert wrong < 0.03
            assert match.visible.float().mean() > 0.6
    assert (batch.match(2, 2).flow.abs() < 1e-3).all()


def test_windows_stay_on_the_still():
    class Ones:
        def __len__(self):
            return 1

        def __getitem__(self, index):
            return torch.ones(3, 90, 100), torch.full((90, 100), 3)

    source = StillClips(Ones(), 64, 80)
    for seed in range(30):
        batch = source.batch(1, 8, torch.Generator().manual_seed(seed))
        corners = torch.tensor([[0.0, 0, 1], [80, 0, 1], [0, 64, 1], [80, 64, 1]])
        at = torch.einsum("tij,nj->tni", batch.still_from_frame[0], corners)[..., :2]
        # The still was resized by at most 1.25 before.
        assert at.min() > -6 and at[..., 0].max() < 125 + 6 and at[..., 1].max() < 113 + 6


def test_motion_between_views_of_a_wall_before_the_sky():
    height, width = 40, 60
    here = Camera.from_fov(height, width, 1.0, pose_from(torch.zeros(3), 0.0, 0.0))
    there = Camera.from_fov(height, width, 1.0, pose_from(torch.tensor([1.0, 0.0, 0.0]), 0.0, 0.0))
    depth = torch.full((height, width), torch.inf)
    depth[20:] = 10.0
    flow, visible = visible_motion(depth, here, depth, there)
    shift = -float(here.K[0, 0]) / 10
    assert torch.allclose(flow[0, 20:], torch.tensor(shift), atol=1e-4)
    assert flow[:, :20].abs().max() < 1e-4
    assert visible[:20].all()
    left = int(-shift) + 1
    assert visible[20:, left:].all() and not visible[20:, : left - 1].any()


def test_what_stands_behind_something_is_not_visible():
    height, width = 20, 60
    here = Camera.from_fov(height, width, 1.0, pose_from(torch.zeros(3), 0.0, 0.0))
    far = torch.full((height, width), 20.0)
    near = far.clone()
    near[:, 20:30] = 2.0  # a post that only the other moment has
    _, visible = visible_motion(far, here, near, here)
    assert visible[:, :20].all() and visible[:, 30:].all() and not visible[:, 20:30].any()
