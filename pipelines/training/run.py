"""The training run: the loop around any recipe, and nothing about what is trained.

    run(lambda kit: DepthRecipe(kit, config), "runs/depth", Budget(steps=20_000), seed=0)

A run can be killed at any moment and started again with the same call: it goes on from its last checkpoint,
and on the CPU the result is the same, bit for bit, as if it had never stopped. That is cheap to have, because
all randomness of step n follows from (seed, n): there is no generator or data loader whose state could be lost.

In the run's folder: ``run.json`` (what is run), ``checkpoint.pt``, ``log.jsonl`` (a line every few steps),
``samples/000500.png``, and at the end whatever the recipe exports, under ``model/``.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import os
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TextIO

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from pipelines import __version__
from pipelines.errors import InputError
from pipelines.media.images import write_png, write_whole
from pipelines.progress import Meter
from render_refine.precision import autocast


class Recipe(Protocol):
    """What a run trains. It owns its networks and its step; the run owns time, files and randomness.

    The recipe is built with random weights that follow from the seed. Anything random in a step must come from
    the step's generator or from torch's global one (dropout), which the run seeds before each step.
    """

    @property
    def name(self) -> str: ...

    @property
    def config(self) -> Any:
        """A frozen dataclass of plain values; a run goes on only with the same one."""

    @property
    def modules(self) -> Mapping[str, nn.Module]: ...

    @property
    def optimisers(self) -> Mapping[str, Optimizer]: ...

    @property
    def ema(self) -> Mapping[str, EMA]:
        """Averaged copies of some of the modules, under the same names."""

    def step(self, step: int, generator: torch.Generator) -> Mapping[str, Tensor | float]:
        """Train once: data, losses, ``kit.descend`` for each optimiser. Returns scalars for the log."""

    def sample(self, generator: torch.Generator) -> Tensor:
        """A picture (3, H, W) in [0, 1] that shows how far the networks are. The generator is always the same."""

    def export(self, folder: Path) -> None:
        """Write the finished model."""


@dataclass(frozen=True)
class Budget:
    """How long to train: until ``steps`` steps or ``minutes`` minutes are over, whichever comes first.

    The minutes of all sittings count together. A run that is limited by time cannot be repeated bit for bit.
    """

    steps: int | None = None
    minutes: float | None = None

    def __post_init__(self) -> None:
        if self.steps is None and self.minutes is None:
            raise InputError("expected a number of steps or of minutes to train for")
        if (self.steps is not None and self.steps < 1) or (self.minutes is not None and not self.minutes > 0):
            raise InputError(f"expected steps and minutes above 0, got {self.steps} and {self.minutes}")

    def spent(self, step: int, seconds: float) -> float:
        """The part of the budget that is used up after ``step`` steps and ``seconds`` seconds, 0 to 1."""
        by_steps = step / self.steps if self.steps is not None else 0.0
        by_time = seconds / (60 * self.minutes) if self.minutes is not None else 0.0
        return min(max(by_steps, by_time), 1.0)


class Kit:
    """What a run lends to its recipe: the device, mixed precision, guarded descent and the share of the budget.

    Attributes:
        device: where the networks and the data go.
        progress: 0 at the start, 1 at the end of the budget; for learning rates that fall.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.progress = 0.0
        self.skipped = False

    def autocast(self) -> AbstractContextManager:
        """bfloat16 for matrix products and convolutions where the hardware has it, else plain float32."""
        return autocast(self.device)

    def descend(self, optimiser: Optimizer, loss: Tensor, max_norm: float = 1.0) -> bool:
        """Backward, clip the gradient to ``max_norm`` and step; or skip it all when anything is not finite.

        Returns:
            whether the weights were changed.
        """
        optimiser.zero_grad(set_to_none=True)
        weights = [weight for group in optimiser.param_groups for weight in group["params"]]
        finite = bool(torch.isfinite(loss))
        if finite:
            loss.backward()
            finite = bool(torch.isfinite(nn.utils.clip_grad_norm_(weights, max_norm)))
        if finite:
            optimiser.step()
        self.skipped |= not finite
        return finite


class EMA:
    """An exponential moving average of a network's weights, which is smoother than any of them.

    The decay warms up as min(decay, (1 + n) / (10 + n)) at step n, so that the random start is forgotten fast.
    Buffers (batch statistics, power-iteration vectors) are copied, not averaged.
    """

    def __init__(self, module: nn.Module, decay: float = 0.999) -> None:
        self.module: Any = deepcopy(module).eval().requires_grad_(False)
        self.decay = decay

    @torch.no_grad()
    def update(self, module: nn.Module, step: int) -> None:
        """Take in the weights after step number ``step``, counted from 0."""
        decay = min(self.decay, (1 + step) / (10 + step))
        for average, weight in zip(self.module.parameters(), module.parameters(), strict=True):
            average.lerp_(weight, 1 - decay)
        for kept, current in zip(self.module.buffers(), module.buffers(), strict=True):
            kept.copy_(current)


MOST_SKIPPED_IN_A_ROW = 20


def run(
    build: Callable[[Kit], Recipe],
    folder: Path | str,
    budget: Budget,
    *,
    device: torch.device | str = "cpu",
    seed: int = 0,
    log_every: int = 10,
    sample_every: int = 500,
    checkpoint_seconds: float = 60.0,
) -> Recipe:
    """Train a recipe to the end of its budget, from its last checkpoint when the folder holds one.

    Args:
        build: makes the recipe, on ``kit.device``.
        folder: the run's own; made when missing.
        budget: when to stop. A larger one than last time makes a finished run go on.
        device: where to train.
        seed: of everything random.
        log_every, sample_every: in steps.
        checkpoint_seconds: at most so much work is lost by a kill.

    Returns:
        the recipe, trained and exported to ``folder/model``.

    Raises:
        InputError: the folder holds another run, or cannot be written.
        FloatingPointError: losses or gradients were not finite for 20 steps in a row.
    """
    folder = Path(folder)
    kit = Kit(torch.device(device))
    devices = [kit.device] if kit.device.type == "cuda" else []
    with torch.random.fork_rng(devices):  # the caller's random state is as before, afterwards
        torch.manual_seed(seed_of(seed, "weights"))
        recipe = build(kit)
        claim(folder, recipe, seed)
        step, before = load_checkpoint(folder / "checkpoint.pt", recipe, kit.device)
        truncate_log(folder / "log.jsonl", step)

        began = saved = time.monotonic()
        skipped_in_a_row = 0
        kit.progress = budget.spent(step, before)
        with (
            open(folder / "log.jsonl", "a", encoding="utf-8") as log,
            Meter(100, recipe.name, "%", start=100 * kit.progress) as meter,
        ):
            while kit.progress < 1:
                kit.skipped = False
                torch.manual_seed(seed_of(seed, f"step {step}"))
                scalars = recipe.step(step, generator_for(seed, f"data {step}"))
                for name, average in recipe.ema.items():
                    average.update(recipe.modules[name], step)
                step += 1
                seconds = before + time.monotonic() - began
                kit.progress = budget.spent(step, seconds)

                skipped_in_a_row = skipped_in_a_row + 1 if kit.skipped else 0
                if skipped_in_a_row == MOST_SKIPPED_IN_A_ROW:
                    raise FloatingPointError(
                        f"{recipe.name}: losses or gradients were not finite in {skipped_in_a_row} steps in a row, "
                        f"up to step {step}; {folder / 'checkpoint.pt'} holds the last good state"
                    )
                if step % log_every == 0 or kit.progress == 1:
                    meter.reach(100 * kit.progress, write_log(log, step, kit.skipped, scalars))
                if step % sample_every == 0 or kit.progress == 1:
                    write_sample(folder, recipe, step, seed)
                # A run that skips may be on its way down: its state does not replace a good one.
                due = time.monotonic() - saved >= checkpoint_seconds and skipped_in_a_row == 0
                if due or kit.progress == 1:
                    save_checkpoint(folder / "checkpoint.pt", recipe, step, seconds)
                    saved = time.monotonic()
        recipe.export(folder / "model")
    return recipe


def write_log(log: TextIO, step: int, skipped: bool, scalars: Mapping[str, Tensor | float]) -> str:
    """Append one line to the log, and return the same for people."""
    values = {name: round(float(value), 6) for name, value in scalars.items()}
    strict = {name: value if math.isfinite(value) else None for name, value in values.items()}
    log.write(json.dumps({"step": step, "skipped": skipped, **strict}) + "\n")
    log.flush()
    return f"step {step}, " + ", ".join(f"{name} {value:.4g}" for name, value in values.items())


def write_sample(folder: Path, recipe: Recipe, step: int, seed: int) -> None:
    """Write the recipe's sample sheet. The random state is left alone: a resumed run must not see the difference."""
    with torch.no_grad():
        picture = recipe.sample(generator_for(seed, "sample"))
    (folder / "samples").mkdir(exist_ok=True)
    write_png(folder / "samples" / f"{step:06d}.png", picture)


def seed_of(seed: int, purpose: str) -> int:
    """A 63-bit seed for one purpose of one run; different purposes are independent of each other."""
    digest = hashlib.blake2b(f"{seed}/{purpose}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def generator_for(seed: int, purpose: str) -> torch.Generator:
    """A CPU generator, so that the same seed gives the same data on every device."""
    return torch.Generator().manual_seed(seed_of(seed, purpose))


def claim(folder: Path, recipe: Recipe, seed: int) -> None:
    """Write ``run.json``, or check that the one that is there describes the same run."""
    identity = {"recipe": recipe.name, "seed": seed, "config": dataclasses.asdict(recipe.config)}
    identity = json.loads(json.dumps(identity, default=str))
    path = folder / "run.json"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        found = json.loads(path.read_text(encoding="utf-8")) if path.exists() else None
    except (OSError, json.JSONDecodeError) as error:
        raise InputError(f"{path}: cannot be used ({error})") from None
    if found is None:
        versions = {"viewsynth": __version__, "torch": torch.__version__}
        write_whole(path, json.dumps({**identity, "versions": versions}, indent=2).encode())
        return
    for key, wanted in identity.items():
        if found.get(key) != wanted:
            raise InputError(
                f"{folder} holds a run whose {key} is {found.get(key)}, not {wanted}; choose another folder"
            )


def save_checkpoint(path: Path, recipe: Recipe, step: int, seconds: float) -> None:
    """Replace the checkpoint as a whole; a kill leaves the old one or the new one."""
    state = {
        "step": step,
        "seconds": seconds,
        "modules": {name: module.state_dict() for name, module in recipe.modules.items()},
        "optimisers": {name: optimiser.state_dict() for name, optimiser in recipe.optimisers.items()},
        "ema": {name: average.module.state_dict() for name, average in recipe.ema.items()},
    }
    partial = path.with_name(f".{path.name}.partial")
    with open(partial, "wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(partial, path)


def load_checkpoint(path: Path, recipe: Recipe, device: torch.device) -> tuple[int, float]:
    """Put a checkpoint's state into the recipe. Returns the steps and seconds so far."""
    if not path.exists():
        return 0, 0.0
    try:
        state = torch.load(path, map_location=device, weights_only=True)
        for name, module in recipe.modules.items():
            module.load_state_dict(state["modules"][name])
        for name, optimiser in recipe.optimisers.items():
            optimiser.load_state_dict(state["optimisers"][name])
        for name, average in recipe.ema.items():
            average.module.load_state_dict(state["ema"][name])
    except Exception as error:  # a damaged file may fail in any way
        raise InputError(f"{path}: not a checkpoint of this recipe ({error})") from None
    return state["step"], state["seconds"]


def truncate_log(path: Path, step: int) -> None:
    """Drop the log's lines after ``step``, and a last line that a kill cut off: they will be written again."""
    if not path.exists():
        return
    kept = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            if json.loads(line)["step"] <= step:
                kept.append(line + "\n")
        except (json.JSONDecodeError, KeyError, TypeError):
            continue
    write_whole(path, "".join(kept).encode())
