"""Fixtures for all tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parent.parent


def pytest_configure() -> None:
    # Parallel workers with a thread pool each would fight for the cores; one thread also repeats bit for bit.
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def root() -> Path:
    """The folder that holds the packages and the docs."""
    return ROOT


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Photographs and clips that are too large for the repository; tests that need them skip without."""
    folder = Path(os.environ.get("VIEWSYNTH_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no data folder {folder}; set VIEWSYNTH_DATA to one")
    return folder
