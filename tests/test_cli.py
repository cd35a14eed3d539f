"""The command line: its table, its exit codes, one line for every mistake."""

from __future__ import annotations

import errno
import os
import re
import subprocess
import sys
import time
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Literal

import pytest
import tyro

from pipelines import __version__, cli
from pipelines.errors import InputError
from pipelines.options import Count, Rate, Size, parse_count, parse_number, parse_rate, parse_size, parse_whole
from pipelines.progress import Meter, progress

EXAMPLES = """\
Fly into a photograph.

examples:
  viewsynth flyover
  viewsynth flyover photo.jpg -o out.mp4 --camera orbit"""


@dataclass(frozen=True)
class Options:
    photo: Annotated[Path | None, tyro.conf.Positional] = None
    """The photograph."""
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])] = Path("flyover.mp4")
    """Where the video goes."""
    frames: Count = 240
    fps: Rate = Fraction(30)
    size: Size | None = None
    camera: Literal["static", "forward", "out-and-back"] = "forward"
    seed: int = 0
    speed: float = 1.0
    depth: Path | None = None
    memory: bool = True
    overwrite: bool = False


def parse(*words: str) -> Options:
    return cli.parse(Options, words, prog="viewsynth flyover", description=EXAMPLES)


def test_values_arrive_with_their_types():
    assert parse() == Options()
    assert parse("photo.jpg", "-o", "out.mp4") == Options(photo=Path("photo.jpg"), output=Path("out.mp4"))
    assert parse("--size", "256x448", "--fps", "24000/1001", "--frames=7", "--depth", "d.npy") == Options(
        size=(256, 448), fps=Fraction(24000, 1001), frames=7, depth=Path("d.npy")
    )
    assert parse(
        "--no-memory", "--overwrite", "--seed", "-5", "--speed", "1e-1", "--camera", "out-and-back"
    ) == Options(memory=False, overwrite=True, seed=-5, speed=0.1, camera="out-and-back")


@pytest.mark.parametrize(
    ("words", "part"),
    [
        ("--camra static", "unrecognized option --camra (did you mean --camera?)"),
        ("photo.jpg --no-memori", "--no-memori"),
        ("--zzz=1", "unrecognized option --zzz"),
        ("-x", "-x"),
        ("a.jpg b.jpg", "b.jpg"),
        ("--frames", "--frames"),
        ("--frames 0", "--frames: expected a whole number from 1 on, got '0'"),
        ("--frames -3", "got '-3'"),
        ("--frames 2.5", "got '2.5'"),
        ("--frames 99999999999999999999999", "--frames"),
        ("--fps 0", "--fps: expected a rate above 0"),
        ("--fps 1/0", "--fps: expected frames per second"),
        ("--fps nan", "--fps"),
        ("--size 0x4", "--size: expected sides from 1 to 8192 pixels, got '0x4'"),
        ("--size -4x4", "got '-4x4'"),
        ("--size 9000x10", "8192"),
        ("--size big", "--size: expected HEIGHTxWIDTH in pixels such as 256x448, got 'big'"),
        ("--size 4", "got '4'"),
        ("--camera loop", "'static', 'forward', 'out-and-back'"),
        ("--seed x", "--seed: expected a whole number, got 'x'"),
        ("--speed inf", "--speed: expected a finite number, got 'inf'"),
        ("--output", "--output"),
    ],
)
def test_a_bad_value_is_one_line_and_exit_code_2(words, part, monkeypatch, capsys):
    monkeypatch.setattr(cli, "command", lambda name: lambda rest: parse(*rest))
    assert cli.main(["flyover", *words.split()]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("viewsynth flyover: error: ") and captured.err.count("\n") == 1
    assert part in captured.err
    assert not re.search("[─│╭╰]", captured.err)


def test_a_missing_positional_argument_is_named():
    @dataclass(frozen=True)
    class Needs:
        recipe: tyro.conf.Positional[str]
        """what to train"""

    with pytest.raises(InputError, match=r"^missing argument: .*what to train"):
        cli.parse(Needs, [], prog="viewsynth train", description="")


def test_help_of_a_command_shows_examples_and_options(monkeypatch, capsys):
    monkeypatch.setattr(cli, "command", lambda name: lambda rest: parse(*rest))
    assert cli.main(["flyover", "--help"]) == 0
    text = capsys.readouterr().out
    assert "\n  viewsynth flyover\n  viewsynth flyover photo.jpg -o out.mp4 --camera orbit\n" in text
    for word in ("[PATH]", "-o PATH", "--size HxW", "--fps RATE", "--no-memory", "out-and-back", "The photograph."):
        assert word in text
    assert "{None}" not in text


def test_the_table_and_the_version(capsys):
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"viewsynth {__version__}\n"
    for arguments in ([], ["--help"], ["-h"]):
        assert cli.main(arguments) == 0
        text = capsys.readouterr().out
        assert all(name in text for name in cli.COMMANDS)


def test_unknown_commands(capsys):
    assert cli.main(["flyove"]) == 2
    assert capsys.readouterr().err == "viewsynth: error: unknown command flyove (did you mean flyover?)\n"
    assert cli.main(["--frames"]) == 2
    assert capsys.readouterr().err.startswith("viewsynth: error: unknown option --frames")


def test_every_command_of_the_table_exists():
    for name in cli.COMMANDS:
        assert callable(cli.command(name))


def test_other_endings(monkeypatch, capsys):
    def raising(error: BaseException):
        def function(rest: list[str]) -> None:
            raise error

        return lambda name: function

    monkeypatch.setattr(cli, "command", raising(InputError("two\n  lines")))
    assert cli.main(["train"]) == 2
    assert capsys.readouterr().err == "viewsynth train: error: two lines\n"
    monkeypatch.setattr(cli, "command", raising(KeyboardInterrupt()))
    assert cli.main(["train"]) == 130
    assert capsys.readouterr().err.strip() == "viewsynth train: interrupted"
    monkeypatch.setattr(cli, "command", raising(OSError(errno.ENOSPC, "no room in /tmp")))
    assert cli.main(["train"]) == 2
    assert capsys.readouterr().err == "viewsynth train: error: no room in /tmp\n"
    monkeypatch.setattr(cli, "command", raising(ZeroDivisionError()))  # a defect keeps its traceback
    with pytest.raises(ZeroDivisionError):
        cli.main(["train"])


def test_help_is_fast_and_does_not_import_torch(root):
    code = "import sys; from pipelines.cli import main; code = main(['--help']); print(*sys.modules); sys.exit(code)"
    times = []
    for _ in range(3):
        began = time.monotonic()
        environment = {**os.environ, "PYTHONPATH": str(root)}
        result = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
        times.append(time.monotonic() - began)
        assert result.returncode == 0, result.stderr
        assert "flyover" in result.stdout
        assert not {"torch", "tyro", "cv2", "numpy"} & set(result.stdout.split())
    assert min(times) < 1


@pytest.mark.parametrize(
    ("parser", "word", "expected"),
    [
        (parse_size, "256x448", (256, 448)),
        (parse_size, " 1X8192 ", (1, 8192)),
        (parse_rate, "29.97", Fraction(2997, 100)),
        (parse_rate, "30000/1001", Fraction(30000, 1001)),
        (parse_whole, "-12", -12),
        (parse_count, "1", 1),
        (parse_number, "-2.5e3", -2500.0),
    ],
)
def test_words_that_are_good(parser, word, expected):
    assert parser(word) == expected


@pytest.mark.parametrize(
    "word", ["", " ", "x", "1x", "1x2x3", "1.5x2", "٣", "1e3", "0x10", "--", "1_000", "nan", "∞", "9" * 5000]
)
def test_words_that_are_not(word):
    for parser in (parse_size, parse_count):
        with pytest.raises(InputError):
            parser(word)


def test_progress_without_a_terminal_is_a_line_now_and_then(capsys):
    assert list(progress(range(5), 5, "flight")) == list(range(5))
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and lines[0].startswith("flight: 100% 5/5")
    with Meter(10, "train", "step", start=4, interval=0) as meter:
        meter.reach(7, "loss 0.5")
    first, last = capsys.readouterr().err.splitlines()
    assert "7/10" in first and "loss 0.5" in first and "7/10" in last
