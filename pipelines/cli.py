"""The ``viewsynth`` command: one table, from a command's name to the function that runs it.

Exit codes: 0 done, 1 a defect (with its traceback), 2 wrong input (one line), 130 interrupted.
The commands' modules are imported only when they are called, so that help answers at once.
"""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import errno
import importlib
import io
import os
import re
import sys
from collections.abc import Sequence
from typing import TypeVar

from pipelines import __version__
from pipelines.errors import InputError

COMMANDS = {
    # name: (module:function, what it does)
    "flyover": ("pipelines.flyover:main", "fly into a photograph: one photo in, a video out"),
    "views": ("pipelines.views:main", "look at a photograph from nearby places: orbit, dolly, sway and more"),
    "segment": ("pipelines.segment:main", "say what every pixel of a clip or a photo shows"),
    "footage": ("pipelines.footage:main", "paint a segmentation video: label maps in, footage out"),
    "restyle": ("pipelines.restyle:main", "give a clip another time of day or another season"),
    "evaluate": ("pipelines.evaluate:main", "measure a job beside its baselines"),
    "train": ("pipelines.training.train:main", "make a bundled model again, or train your own"),
}

Options = TypeVar("Options")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit code.

    Args:
        argv: the arguments after the program's name; those of the process when left out.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments or arguments[0] in ("-h", "--help"):
        print(overview())
        return 0
    if arguments[0] == "--version":
        print(f"viewsynth {__version__}")
        return 0
    name, *rest = arguments
    prog = f"viewsynth {name}" if name in COMMANDS else "viewsynth"
    try:
        command(name)(rest)
    except InputError as error:
        print(f"{prog}: error: {one_line(str(error))}", file=sys.stderr)
        return 2
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        print(f"{prog}: error: {one_line(error.strerror or str(error))}", file=sys.stderr)
        return 2
    except SystemExit as stop:  # --help of a command
        return stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except KeyboardInterrupt:
        # An unfinished video is removed on the way out; the finished frames of an image sequence stay.
        print(f"\n{prog}: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader of our output (head, less) has seen enough; what Python still holds goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def overview() -> str:
    """The text of ``viewsynth --help``."""
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {summary}" for name, (_, summary) in COMMANDS.items()]
    return "\n".join(
        [
            "usage: viewsynth COMMAND [OPTIONS]",
            "",
            "commands:",
            *lines,
            "",
            "viewsynth COMMAND --help shows a command's options and examples; viewsynth --version the version.",
        ]
    )


def command(name: str):
    """The function behind a command's name: it takes the remaining arguments and returns None.

    Raises:
        InputError: there is no such command.
    """
    if name not in COMMANDS:
        kind = "option" if name.startswith("-") else "command"
        wanted = suggestion(name, COMMANDS) or f" (commands: {', '.join(COMMANDS)})"
        raise InputError(f"unknown {kind} {name}{wanted}")
    module, _, function = COMMANDS[name][0].partition(":")
    return getattr(importlib.import_module(module), function)


def parse(options: type[Options], argv: Sequence[str], *, prog: str, description: str) -> Options:
    """Fill a frozen dataclass from command-line arguments.

    A field ``long_name: T = default`` with its docstring below becomes ``--long-name``; a boolean gets
    ``--memory`` and ``--no-memory``; ``tyro.conf.Positional`` and ``tyro.conf.arg(aliases=["-o"])`` work
    as in tyro. Types with their own checks stand in ``pipelines.options``.

    Args:
        options: the dataclass.
        argv: the arguments after the command's name.
        prog: the command as the user typed it, for the usage line.
        description: shown above the options in ``--help``, line breaks kept: put examples here.

    Raises:
        InputError: an unknown option, a missing or a bad value; the message is one line.
        SystemExit: with code 0, after ``--help`` was printed.
    """
    import tyro  # only a command that runs needs it

    from pipelines.options import registry

    refuse_unknown_options(options, argv)
    complaint = io.StringIO()
    try:
        with contextlib.redirect_stderr(complaint):
            return tyro.cli(options, args=list(argv), prog=prog, description=description, registry=registry())
    except SystemExit as stop:
        if not stop.code:
            raise
        raise InputError(text_of_box(complaint.getvalue())) from None


def refuse_unknown_options(options: type, argv: Sequence[str]) -> None:
    """Raise InputError for the first ``--word`` that names no field, with the nearest one that does.

    Looked for before parsing, because there the value of a misspelt option would pass as a positional argument.
    """
    names = [field.name.replace("_", "-") for field in dataclasses.fields(options)]
    known = {f"--{prefix}{name}" for name in [*names, "help"] for prefix in ("", "no-")}
    for word in argv:
        if word == "--":
            return
        flag = word.partition("=")[0].replace("_", "-")
        if flag.startswith("--") and flag not in known:
            offered = [f"--{name}" for name in [*names, "help"]]
            raise InputError(f"unrecognized option {word.partition('=')[0]}{suggestion(flag, offered)}")


def suggestion(word: str, known: Sequence[str] | dict) -> str:
    """`` (did you mean X?)`` for the nearest known word, or nothing when none is near."""
    near = difflib.get_close_matches(word, list(known), n=1)
    return f" (did you mean {near[0]}?)" if near else ""


def text_of_box(box: str) -> str:
    """The message of tyro's framed error without title, frame and help text, as one line."""
    inside = [line.strip("│ ") for line in box.splitlines() if line.startswith("│")]
    message = []
    for line in inside:
        if line.startswith("──"):
            break
        message.append(line)
    text = one_line(" ".join(message)).removeprefix("Error parsing ").rstrip(".")
    text = re.sub(r"^Missing from [^:]*: ", "missing argument: ", text)
    return text or one_line(box) or "these options cannot be used"


def one_line(text: str) -> str:
    """Any run of white space, line breaks too, as one blank."""
    return re.sub(r"\s+", " ", text).strip()
