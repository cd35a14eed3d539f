"""The training run with a toy recipe: kills, resumption, guards, averages and logs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch import nn

from pipelines.errors import InputError
from pipelines.media.images import read_image
from pipelines.training.run import EMA, MOST_SKIPPED_IN_A_ROW, Budget, Kit, run


@dataclass(frozen=True)
class ToyConfig:
    width: int = 8
    delay: float = 0.0  # seconds per step
    poison: tuple[int, ...] = ()  # steps whose loss is NaN


class ToyRecipe:
    """A regression with everything that has state: batch norm, dropout, spectral norm, two Adams, an EMA."""

    name = "toy"

    def __init__(self, kit: Kit, config: ToyConfig) -> None:
        self.kit, self.config = kit, config
        body = nn.Sequential(
            nn.utils.parametrizations.spectral_norm(nn.Linear(4, config.width)),
            nn.BatchNorm1d(config.width),
            nn.Dropout(0.2),
            nn.ReLU(),
        )
        self.modules = {"body": body, "head": nn.Linear(config.width, 1)}
        self.optimisers = {name: torch.optim.Adam(module.parameters(), 0.01) for name, module in self.modules.items()}
        self.ema = {"body": EMA(body, decay=0.9)}
        self.exported = 0

    def step(self, step: int, generator: torch.Generator) -> dict[str, torch.Tensor]:
        time.sleep(self.config.delay)
        x = torch.randn(16, 4, generator=generator)
        factor = float("nan") if step in self.config.poison else 1.0
        losses = {}
        for name, optimiser in self.optimisers.items():
            for group in optimiser.param_groups:
                group["lr"] = 0.01 * (1 - self.kit.progress)
            with self.kit.autocast():
                predicted = self.modules["head"](self.modules["body"](x))
            losses[name] = (predicted.float() - x.sum(dim=1, keepdim=True)).square().mean() * factor
            self.kit.descend(optimiser, losses[name])
        return {name: loss.detach() for name, loss in losses.items()}

    def sample(self, generator: torch.Generator) -> torch.Tensor:
        torch.rand(3)  # must not be felt by the steps that follow
        return torch.rand(3, 4, 4, generator=generator)

    def export(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        self.exported += 1


def train(folder: Path, steps: int, config: ToyConfig | None = None, **options) -> ToyRecipe:
    config = config or ToyConfig()
    return run(lambda kit: ToyRecipe(kit, config), folder, Budget(steps=steps), log_every=1, sample_every=10, **options)


def states(recipe: ToyRecipe) -> dict[str, torch.Tensor]:
    found = {}
    for name, module in [*recipe.modules.items(), ("ema", recipe.ema["body"].module)]:
        found |= {f"{name}.{key}": value for key, value in module.state_dict().items()}
    for name, optimiser in recipe.optimisers.items():
        for index, state in optimiser.state_dict()["state"].items():
            found |= {f"{name}.{index}.{key}": value for key, value in state.items()}
    return found


def assert_same(one: ToyRecipe, other: ToyRecipe) -> None:
    a, b = states(one), states(other)
    assert a.keys() == b.keys()
    assert [key for key in a if not torch.equal(a[key], b[key])] == []


KILLED = """
import sys
from pathlib import Path
from test_training_run import ToyConfig, train
train(Path(sys.argv[1]), 40, ToyConfig(delay=0.005), checkpoint_seconds=0)
"""


def test_killed_run_equals_uninterrupted_run_bit_for_bit(tmp_path, root):
    """SIGKILL at three moments, whatever is being written then."""
    whole = train(tmp_path / "whole", 40, ToyConfig(delay=0.005))
    killed = tmp_path / "killed"
    environment = {**os.environ, "PYTHONPATH": f"{root}{os.pathsep}{root / 'tests'}", "OMP_NUM_THREADS": "1"}
    reached = 0
    for lines in (3, 11, 20):
        process = subprocess.Popen([sys.executable, "-c", KILLED, str(killed)], env=environment, cwd=tmp_path)
        deadline = time.monotonic() + 60
        log = killed / "log.jsonl"
        while not (log.exists() and log.read_text().count("\n") >= lines):
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        process.wait()
        state = torch.load(killed / "checkpoint.pt", weights_only=True)
        assert reached <= state["step"] < 40
        reached = state["step"]
    with open(log, "a") as file:
        file.write('{"step": 999, "bo')  # as a kill in the middle of a line leaves it
    resumed = train(killed, 40, ToyConfig(delay=0.005))
    assert_same(whole, resumed)
    assert log.read_text() == (tmp_path / "whole" / "log.jsonl").read_text()
    assert [json.loads(line)["step"] for line in log.read_text().splitlines()] == list(range(1, 41))


def test_the_loss_falls_and_the_sample_sheets_come(tmp_path):
    train(tmp_path, 150)
    losses = [json.loads(line)["head"] for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert sum(losses[-10:]) < 0.7 * sum(losses[:10])
    sheets = sorted((tmp_path / "samples").iterdir())
    assert [sheet.name for sheet in sheets] == [f"{n:06d}.png" for n in range(10, 151, 10)]
    assert torch.equal(read_image(sheets[0]), read_image(sheets[-1]))  # the same generator each time
    assert (tmp_path / "model").is_dir()


def test_the_seed_decides_and_the_callers_random_state_is_untouched(tmp_path):
    before = torch.get_rng_state()
    one, again = train(tmp_path / "a", 5, seed=3), train(tmp_path / "b", 5, seed=3)
    assert torch.equal(torch.get_rng_state(), before)
    assert_same(one, again)
    assert not torch.equal(states(one)["head.weight"], states(train(tmp_path / "c", 5, seed=4))["head.weight"])


def test_one_bad_step_is_skipped_and_counted(tmp_path):
    recipe = train(tmp_path, 12, ToyConfig(poison=(4,)))
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if line["skipped"]] == [5]
    assert lines[4]["head"] is None
    assert all(bool(torch.isfinite(value).all()) for value in states(recipe).values())


def test_a_run_that_diverged_stops_and_keeps_its_last_good_state(tmp_path):
    config = ToyConfig(poison=tuple(range(7, 100)))
    with pytest.raises(FloatingPointError, match="20 steps in a row"):
        train(tmp_path, 100, config, checkpoint_seconds=0)
    assert torch.load(tmp_path / "checkpoint.pt", weights_only=True)["step"] == 7
    assert len((tmp_path / "log.jsonl").read_text().splitlines()) == 7 + MOST_SKIPPED_IN_A_ROW - 1


def test_a_gradient_that_is_not_finite_changes_nothing():
    weight = nn.Parameter(torch.zeros(2))
    kit = Kit(torch.device("cpu"))
    optimiser = torch.optim.SGD([weight], lr=1.0)
    assert not kit.descend(optimiser, weight.sum().sqrt())  # d sqrt(x) / dx is infinite at 0
    assert kit.skipped and torch.equal(weight.data, torch.zeros(2))
    assert kit.descend(optimiser, (3 * weight[0] + 4 * weight[1]), max_norm=1.0)
    torch.testing.assert_close(weight.data, torch.tensor([-0.6, -0.8]))  # the gradient (3, 4) clipped to length 1


def test_ema_follows_its_definition():
    module = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(module.weight)
    average = EMA(module, decay=0.3)
    expected = 0.0
    for step in range(6):
        nn.init.constant_(module.weight, float(step + 1))
        average.update(module, step)
        decay = min(0.3, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * (step + 1)
        assert average.module.weight.item() == pytest.approx(expected, rel=1e-6)
    assert not average.module.weight.requires_grad


def test_another_run_in_the_same_folder_is_refused(tmp_path):
    train(tmp_path, 2)
    with pytest.raises(InputError, match="seed is 0, not 1"):
        train(tmp_path, 2, seed=1)
    with pytest.raises(InputError, match="config"):
        train(tmp_path, 2, ToyConfig(width=9))
    (tmp_path / "checkpoint.pt").write_bytes(b"junk")
    with pytest.raises(InputError, match="not a checkpoint"):
        train(tmp_path, 3)


def test_a_finished_run_goes_on_with_a_larger_budget_and_rests_with_the_same(tmp_path):
    train(tmp_path, 5)
    stamp = (tmp_path / "checkpoint.pt").stat().st_mtime_ns
    train(tmp_path, 5)
    assert (tmp_path / "checkpoint.pt").stat().st_mtime_ns == stamp
    train(tmp_path, 8)
    assert torch.load(tmp_path / "checkpoint.pt", weights_only=True)["step"] == 8


def test_a_budget_of_minutes_ends():
    assert Budget(minutes=2).spent(10**9, 60.0) == pytest.approx(0.5)
    assert Budget(steps=10, minutes=2).spent(5, 119.0) == pytest.approx(119 / 120)
    assert Budget(steps=10).spent(10, 0.0) == 1.0
    for wrong in ({}, {"steps": 0}, {"minutes": 0.0}, {"minutes": float("nan")}):
        with pytest.raises(InputError):
            Budget(**wrong)


def test_minutes_stop_the_run(tmp_path):
    began = time.monotonic()
    run(lambda kit: ToyRecipe(kit, ToyConfig(delay=0.01)), tmp_path, Budget(minutes=0.3 / 60))
    assert 0.3 <= time.monotonic() - began < 10
    assert torch.load(tmp_path / "checkpoint.pt", weights_only=True)["seconds"] >= 0.3
