"""What footage is judged by: known values of every measure."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from pipelines.evaluation.measures import detail, flicker, real_motion, relabelled, return_difference, standing
from pipelines.media.images import read_image
from pipelines.perception.agreement import mean_iou
from vid2vid.classes import CLASSES

SKY, ROAD, CAR = (CLASSES.index(name) for name in ("sky", "road", "car"))
HEIGHT, WIDTH = 32, 48


def window(t: int, dx: int, dy: int = 0) -> torch.Tensor:
    """A view of one random picture that moves dx, dy pixels a frame."""
    picture = torch.rand(3, 100, 160, generator=torch.Generator().manual_seed(0))
    return picture[:, 20 + dy * t : 20 + dy * t + HEIGHT, 20 + dx * t : 20 + dx * t + WIDTH]


def constant_flow(pairs: int, dx: float, dy: float = 0.0) -> torch.Tensor:
    return torch.tensor([dx, dy]).view(1, 2, 1, 1).expand(pairs, 2, HEIGHT, WIDTH)


EVERYWHERE = torch.ones(3, HEIGHT, WIDTH, dtype=torch.bool)


def test_an_exact_translation_does_not_flicker():
    frames = torch.stack([window(t, 3, -2) for t in range(4)])
    assert flicker(frames, constant_flow(3, 3, -2), EVERYWHERE) < 1e-3
    assert flicker(frames, constant_flow(3, -3, 2), EVERYWHERE) > 20
    assert flicker(frames, constant_flow(3, 0, 0), EVERYWHERE) > 20


def test_flicker_counts_levels_over_visible_pixels():
    frames = torch.full((4, 3, HEIGHT, WIDTH), 0.2)
    frames[1::2] += 10 / 255
    visible = EVERYWHERE.clone()
    visible[:, : HEIGHT // 2] = False
    frames[2, :, : HEIGHT // 2] = 1.0
    flow = torch.where(visible[:, None], 0.0, torch.nan).expand(3, 2, HEIGHT, WIDTH)
    assert flicker(frames, flow, visible) == pytest.approx(10, abs=1e-3)
    assert math.isnan(flicker(frames, flow, ~EVERYWHERE))
    visible[0] = False  # a pair without a visible pixel is left out
    assert flicker(frames, flow, visible) == pytest.approx(10, abs=1e-3)
    with pytest.raises(ValueError, match="one flow less"):
        flicker(frames, flow[:2], visible[:2])


def test_detail_goes_with_the_square_of_contrast():
    frames = torch.stack([window(t, 3) for t in range(2)])
    assert detail(0.5 * frames + 0.2) == pytest.approx(0.25 * detail(frames), rel=1e-4)
    assert detail(torch.full_like(frames, 0.3)) < 1e-10
    assert detail(nn.functional.avg_pool2d(frames, 3, 1, 1)) < 0.3 * detail(frames)


def test_identical_visits_differ_by_nothing():
    there = torch.stack([window(t, 5) for t in range(4)])
    assert return_difference(torch.cat([there, there[:-1].flip(0)])) == 0
    changed = torch.cat([there, there[:-1].flip(0) + 5 / 255])
    assert return_difference(changed) == pytest.approx(5, abs=1e-3)
    changed[-1] += 3 / 255  # frame 0, of frames 0, 1, 2
    assert return_difference(changed) == pytest.approx(6, abs=1e-3)
    mask = torch.ones(4, HEIGHT, WIDTH, dtype=torch.bool)
    mask[0] = False
    assert return_difference(changed, mask) == pytest.approx(5, abs=1e-3)
    mask[:] = False
    mask[3] = True  # the turning frame does not count
    assert math.isnan(return_difference(changed, mask))
    with pytest.raises(ValueError, match="odd number"):
        return_difference(changed[:-1])


def test_what_moves_by_itself_does_not_stand():
    assert standing(torch.tensor([[SKY, CAR, 255, ROAD]])).tolist() == [[True, False, True, True]]


class ReadsRed:
    """Tells a label from the red channel."""

    def segment(self, rgb):
        return (rgb[0] * 255).round().long()


def test_labels_are_found_again():
    labels = torch.randint(0, 18, (3, 8, 9), generator=torch.Generator().manual_seed(1))
    frames = (labels / 255)[:, None].expand(-1, 3, -1, -1)
    table = relabelled(ReadsRed(), frames, labels)
    assert mean_iou(table) == 1 and table.sum() == 3 * 72
    swapped = torch.where(labels == SKY, ROAD, labels)
    wrong = relabelled(ReadsRed(), (swapped / 255)[:, None].expand(-1, 3, -1, -1), labels)
    assert wrong[SKY, ROAD] == (labels == SKY).sum() and mean_iou(wrong) < 1


def test_real_motion_is_that_of_the_picture():
    smooth = nn.functional.avg_pool2d(torch.rand(1, 3, 160, 260, generator=torch.Generator().manual_seed(2)), 5, 1)
    smooth = ((smooth - 0.5) * 3 + 0.5).clamp(0, 1)[0]
    frames = torch.stack([smooth[:, 10 + 2 * t : 130 + 2 * t, 10 + 4 * t : 210 + 4 * t] for t in range(3)])
    flow, visible = real_motion(frames)
    assert flow.shape == (2, 2, 120, 200) and visible.shape == (2, 120, 200)
    assert visible.float().mean() > 0.8
    for k, expected in ((0, 4.0), (1, 2.0)):
        assert flow[:, k][visible].median() == pytest.approx(expected, abs=0.15)
    assert flicker(frames, flow, visible) < 0.3 * flicker(frames, 0 * flow, visible)


def test_real_motion_explains_real_frames(data_dir):
    files = sorted((data_dir / "camvid/0016E5_c_15Hz/images").iterdir())[40:43]
    frames = torch.stack([read_image(file) for file in files])
    flow, visible = real_motion(frames)
    assert visible.float().mean() > 0.5
    assert flicker(frames, flow, visible) < 0.7 * flicker(frames, 0 * flow, visible)
