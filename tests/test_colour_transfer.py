"""Transfers of colour: what they must keep, what they must change, and naive references."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from kornia.color import linear_rgb_to_rgb, rgb_to_linear_rgb

from pipelines.evaluation.colour_transfer import match_channel, match_histograms, opponent_axes, reinhard


def picture(seed: int, height: int = 24, width: int = 30, low: float = 0.2, high: float = 0.8) -> torch.Tensor:
    """Soft colours, so that nothing is clipped."""
    noise = torch.rand(3, height, width, generator=torch.Generator().manual_seed(seed))
    return low + (high - low) * noise


# Reinhard


def test_grey_has_no_opponent_colours():
    axes = opponent_axes(torch.full((3, 1, 1), 0.5))
    # Rows of the paper's matrix add up to 1 within its rounding.
    assert axes[1:].abs().max() < 0.01
    light = ((0.5 + 0.055) / 1.055) ** 2.4
    assert float(axes[0, 0]) == pytest.approx(np.sqrt(3) * np.log10(light), abs=0.01)


def test_a_picture_with_its_own_colours_stays_as_it_is():
    rgb = picture(0)
    assert torch.allclose(reinhard(rgb, rgb), rgb, atol=1e-5)
    assert torch.allclose(reinhard(rgb, rgb.flip(1)), rgb, atol=1e-5)  # where they are does not matter


def test_another_exposure_is_found():
    rgb = picture(1)
    darker = linear_rgb_to_rgb(0.3 * rgb_to_linear_rgb(rgb))
    assert torch.allclose(reinhard(rgb, darker), darker, atol=1e-4)
    assert torch.allclose(reinhard(darker, rgb), rgb, atol=1e-4)


def test_mean_and_deviation_become_those_of_the_reference():
    source, reference = picture(2), picture(3, 17, 40, 0.3, 0.6)
    found, wanted = opponent_axes(reinhard(source, reference)), opponent_axes(reference)
    assert torch.allclose(found.mean(1), wanted.mean(1), atol=1e-3)
    assert torch.allclose(found.std(1, correction=0), wanted.std(1, correction=0), atol=1e-3)


def test_reinhard_by_hand():
    source, reference = picture(4), picture(5, 20, 20, 0.1, 0.5)

    def axes(rgb):
        light = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
        lms = np.einsum("ij,jhw->ihw", to_lms, np.maximum(light, 1 / 255 / 12.92))
        big, medium, short = np.log10(lms)
        return (big + medium + short) / 3**0.5, (big + medium - 2 * short) / 6**0.5, (big - medium) / 2**0.5

    to_lms = np.array([[0.3811, 0.5783, 0.0402], [0.1967, 0.7244, 0.0782], [0.0241, 0.1288, 0.8444]])
    lightness, alpha, beta = (
        (a - a.mean()) * b.std() / a.std() + b.mean()
        for a, b in zip(axes(source.double().numpy()), axes(reference.double().numpy()), strict=True)
    )
    lightness, alpha, beta = lightness * 3**0.5 / 3, alpha * 6**0.5 / 6, beta * 2**0.5 / 2
    logs = lightness + alpha + beta, lightness + alpha - beta, lightness - 2 * alpha
    light = np.clip(np.einsum("ij,jhw->ihw", np.linalg.inv(to_lms), 10 ** np.stack(logs)), 0, 1)
    wanted = np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)
    assert np.abs(reinhard(source, reference).numpy() - wanted).max() < 1e-4


def test_black_and_plain_pictures_give_numbers():
    black, plain = torch.zeros(3, 8, 8), torch.full((3, 8, 8), 0.5)
    for source, reference in ((black, picture(6)), (picture(6), black), (plain, picture(6)), (black, black)):
        found = reinhard(source, reference)
        assert torch.isfinite(found).all() and found.min() >= 0 and found.max() <= 1
    assert torch.allclose(reinhard(black, plain), plain, atol=1e-4)


# Histograms


def test_a_picture_matched_to_itself_stays_exactly_as_it_is():
    rgb = (picture(7) * 255).round() / 255
    assert torch.equal(match_histograms(rgb, rgb), rgb)
    assert torch.equal(match_histograms(rgb, rgb.repeat(1, 2, 3)), rgb)


def test_distinct_values_take_on_the_whole_distribution():
    source, reference = picture(8), picture(9, low=0.0, high=0.3)
    found = match_histograms(source, reference)
    assert torch.equal(found.flatten(1).sort(dim=1).values, reference.flatten(1).sort(dim=1).values)
    assert torch.equal(found[1].flatten().argsort(), source[1].flatten().argsort())


def test_the_light_of_the_source_does_not_matter():
    source, reference = picture(10), picture(11)
    assert torch.equal(match_histograms(source**2, reference), match_histograms(source, reference))


def test_a_white_sky_gets_dark():
    day = torch.cat([torch.ones(3, 12, 30), picture(12, 12, 30)], dim=1)
    night = torch.cat([torch.full((3, 16, 30), 0.1), picture(13, 7, 30, 0.0, 0.05), torch.ones(3, 1, 30)], dim=1)
    assert torch.equal(match_histograms(day, night)[:, :12], torch.full((3, 12, 30), 0.1))


LEVELS = st.lists(st.integers(0, 6), min_size=1, max_size=12)


@settings(deadline=None, max_examples=100)
@given(LEVELS, LEVELS)
def test_matching_by_definition(source, reference):
    def share(values, level):
        return Fraction(sum(v <= level for v in values), len(values))

    def middle(level):
        return (share(source, level - 1) + share(source, level)) / 2

    wanted = [min(w for w in reference if share(reference, w) >= middle(v)) for v in source]
    found = match_channel(torch.tensor([source]).float() / 6, torch.tensor([reference]).float() / 6)
    assert (found * 6).round().int().tolist() == [wanted]
