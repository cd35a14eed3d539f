"""Depth from one photo: who decides on the sky, and what stands where the depth network saw none."""

import torch
from torch import nn

from pipelines.perception.depth import DepthEstimator
from pipelines.perception.segmentation import Segmenter, SegmenterConfig


class Says(nn.Module):
    """In a network's place: log depth by row, and the same opinion on the sky everywhere."""

    def __init__(self, sky):
        super().__init__()
        self.sky = sky

    def forward(self, rgb):
        row = torch.linspace(2, 0, rgb.shape[-2])[:, None].expand(rgb.shape[-2:])
        return torch.stack([row, torch.full_like(row, self.sky)]).expand(len(rgb), -1, -1, -1)


class Knows:
    """In a segmenter's place: the upper half is sky, with these log odds."""

    def __init__(self, odds):
        self.odds = odds

    def evidence(self, rgb, name):
        assert name == "sky"
        upper = torch.arange(rgb.shape[-2])[:, None].expand(rgb.shape[-2:]) < rgb.shape[-2] // 2
        return torch.where(upper, self.odds, -self.odds).expand(len(rgb), 1, -1, -1)


def test_the_segmenter_decides_on_the_sky_unless_it_hardly_knows():
    rgb = torch.full((3, 80, 120), 0.5)
    for odds, sky_rows in ((3.0, 40), (0.2, 80)):
        depth = DepthEstimator(Says(sky=1.0), Knows(odds))(rgb)
        if sky_rows == 80:  # the depth network's own say: nothing but sky, through which nobody can fly
            assert torch.equal(depth, torch.ones(80, 120))
        else:
            assert depth[:39].isinf().all() and depth[41:].isfinite().all()
    assert DepthEstimator(Says(sky=-1.0), Knows(3.0))(rgb)[:39].isinf().all()


def test_without_a_segmenter_the_network_decides_alone():
    depth = DepthEstimator(Says(sky=-1.0))(torch.full((3, 80, 120), 0.5))
    assert depth.isfinite().all() and depth[5].mean() > 3 * depth[75].mean()


def test_evidence_is_the_log_odds_of_a_class():
    torch.manual_seed(0)
    segmenter = Segmenter(SegmenterConfig(classes=("road", "sky", "water"), side=32, widths=(8, 8))).eval()
    rgb = torch.rand(1, 3, 32, 48)
    found = segmenter.evidence(rgb, "sky")[0, 0]
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        logits = segmenter(rgb).float()
    p = nn.functional.interpolate(logits, (32, 48), mode="bilinear").softmax(dim=1)[0, 1]
    torch.testing.assert_close(found, (p / (1 - p)).log(), atol=1e-3, rtol=0)
