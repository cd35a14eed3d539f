"""Bounds of a keyframe: an ordinary drawing passes, and each kind of bad one is refused."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from infinite_view.watchdog import Bounds
from render_refine.camera import Camera
from render_refine.memory import View

HEIGHT, WIDTH = 48, 64


@pytest.fixture(scope="module")
def guess():
    """Ground below, sky above, and a hole on the right that reaches over both."""
    generator = torch.Generator().manual_seed(0)
    depth = torch.full((HEIGHT, WIDTH), 4.0)
    depth[:16] = math.inf
    known = torch.ones(HEIGHT, WIDTH, dtype=torch.bool)
    known[:, 40:] = False
    rgb = 0.5 + 0.05 * torch.randn(3, HEIGHT, WIDTH, generator=generator)
    return View(Camera.from_fov(HEIGHT, WIDTH, 1.0), rgb, depth, known.float(), known, rgb)


def hold(guess, **changed):
    return Bounds.of(guess.rgb).hold(guess, replace(guess, **changed), ~guess.known, torch.zeros_like(guess.known))


def test_a_drawing_like_its_guess_may_be_shown(guess):
    assert hold(guess)
    texture = 0.03 * torch.randn(3, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(1))
    assert hold(guess, rgb=guess.rgb + texture)
    nothing = torch.zeros_like(guess.known)
    assert Bounds.of(guess.rgb).hold(guess, replace(guess, rgb=guess.rgb + 0.5), nothing, nothing)


def test_a_drawing_out_of_bounds_is_refused(guess):
    noise = torch.randn(3, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(2))
    all_sky, near, broken = guess.depth.clone(), guess.depth.clone(), guess.rgb.clone()
    all_sky[:, 40:] = math.inf
    near[40:, 40:] = 1.0
    broken[0, 0, 63] = math.nan
    assert not hold(guess, rgb=guess.rgb + 0.15)  # tinted
    assert not hold(guess, rgb=guess.rgb + 0.3 * noise)  # shrill
    assert not hold(guess, rgb=broken)
    assert not hold(guess, depth=all_sky)
    assert not hold(guess, depth=near)
    assert not hold(guess, depth=-guess.depth)
