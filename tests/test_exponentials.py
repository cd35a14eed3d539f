"""Logarithm and exponential function of lanes against numpy's."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("numba")

from render_refine.kernels.compiled import compiled
from render_refine.kernels.exponentials import exp, log
from render_refine.kernels.lanes import WIDTH, load, store


@compiled
def logarithms(x, out):
    for i in range(0, len(x), WIDTH):
        store(out, i, log(load(x, i)))


@compiled
def powers(x, out):
    for i in range(0, len(x), WIDTH):
        store(out, i, exp(load(x, i)))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_logarithms_are_exact_to_a_few_digits(dtype):
    limits = np.finfo(dtype)
    spread = np.exp(np.linspace(np.log(limits.tiny), np.log(limits.max) * 0.999, 6400))
    x = np.concatenate([spread, 1 + np.linspace(-1e-3, 1e-3, 1600)]).astype(dtype)
    out = np.empty_like(x)
    logarithms(x, out)
    expected = np.log(x.astype(np.longdouble))
    assert np.abs(out - expected).max() <= 2 * limits.eps * np.abs(expected).max()
    near_one = np.abs(x - 1) < 1e-3
    # 0.5 log 2 - log sqrt 2 is what cancels there.
    assert np.abs(out - expected)[near_one].max() <= 2 * limits.eps


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_exponential_function_is_exact_to_a_few_digits(dtype):
    x = np.linspace(-3, 3, 3200).astype(dtype)
    out = np.empty_like(x)
    powers(x, out)
    expected = np.exp(x.astype(np.longdouble))
    assert (np.abs(out - expected) / expected).max() <= 10 * np.finfo(dtype).eps
