"""The shape of the house: who may import whom, what importing may do, and how long a file may be."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
METHODS = {"synsin", "infinite_view", "vid2vid"}
OURS = {"render_refine", *METHODS, "pipelines"}
# Each package sees only what stands to its right.
MAY_IMPORT = {
    "render_refine": set(),
    **{method: {"render_refine"} for method in METHODS},
    "pipelines": {"render_refine", *METHODS},
}
FILES = sorted(file for package in sorted(OURS) for file in (ROOT / package).rglob("*.py"))
LONGEST_FILE = 400


def imports_of(file: Path) -> set[str]:
    """Absolute dotted names that a file imports, at any depth."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            here = file.relative_to(ROOT).parent.parts
            base = ".".join(here[: len(here) - node.level + 1]) if node.level else ""
            found.add(".".join(part for part in (base, node.module) if part))
    return found


def top(name: str) -> str:
    return name.partition(".")[0]


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_imports_point_one_way(file):
    package = file.relative_to(ROOT).parts[0]
    ours = {top(name) for name in imports_of(file)} & OURS - {package}
    assert ours <= MAY_IMPORT[package]


def test_the_heart_needs_torch_and_kornia_only_and_its_kernels_a_compiler():
    for file in FILES:
        if file.relative_to(ROOT).parts[0] != "render_refine":
            continue
        allowed = {"render_refine", "torch", "kornia", *sys.stdlib_module_names}
        if file.name == "pretrained.py":
            allowed.add("safetensors")
        if file.parent.name == "kernels":
            allowed |= {"numba", "numpy", "triton"}
        assert {top(name) for name in imports_of(file)} <= allowed, file


def test_files_stay_short():
    files = [*FILES, *sorted((ROOT / "tests").glob("*.py"))]
    lengths = {str(file.relative_to(ROOT)): len(file.read_text(encoding="utf-8").splitlines()) for file in files}
    assert {name: length for name, length in lengths.items() if length > LONGEST_FILE} == {}


IMPORT_ALL = """
import importlib, os, sys, random
import numpy, torch

def state():
    return {
        "torch random": torch.get_rng_state().tolist(),
        "numpy random": str(numpy.random.get_state()),
        "python random": random.getstate(),
        "threads": torch.get_num_threads(),
        "dtype": torch.get_default_dtype(),
        "device": str(torch.get_default_device()),
        "grad": torch.is_grad_enabled(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "benchmark": torch.backends.cudnn.benchmark,
        "matmul": torch.get_float32_matmul_precision(),
        "environment": dict(os.environ),
        "cuda": torch.cuda.is_initialized(),
    }

# Libraries may do as they like; only our own modules are held to it.
import torchvision, kornia, scipy, cv2, av, safetensors.torch, tyro, tqdm, PIL.Image, numba
for name in sys.argv[1:]:
    before = state()
    importlib.import_module(name)
    changed = [key for key, value in state().items() if value != before[key]]
    assert not changed, f"importing {name} changes {changed}"
"""


def test_importing_changes_nothing():
    names = [".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for file in FILES]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", IMPORT_ALL, *names]
    result = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
