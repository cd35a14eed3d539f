"""The files of a numbered sequence: a folder in natural order, or a printf pattern without gaps."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

from pipelines.errors import InputError

NUMBER = re.compile(r"%(0\d)?d")


def sequence_files(path: Path, suffixes: tuple[str, ...], what: str) -> list[Path]:
    """The files of a folder, in natural order, or of a printf pattern, in the order of their numbers.

    Args:
        path: a folder, in which files with other suffixes and hidden ones are passed over, or a pattern.
        suffixes: those wanted, in lower case; a folder may hold one kind of them.
        what: what is in the files, for messages.
    """
    if NUMBER.search(path.name):
        return complete_files(path)
    if not path.is_dir():
        found = "found a single file" if path.is_file() else "no such folder"
        raise InputError(f"{path}: {found}; expected a folder of {what}, or a pattern such as folder/%04d.png")
    files = [file for file in path.iterdir() if file.suffix.lower() in suffixes and not file.name.startswith(".")]
    kinds = sorted({file.suffix.lower() for file in files})
    if not kinds:
        raise InputError(f"{path}: there are no {what} in this folder ({', '.join(suffixes)})")
    if len(kinds) > 1:
        found = " and ".join(kinds)
        raise InputError(f"{path}: found {found} files; choose by a pattern, such as {path}/%04d{kinds[0]}")
    return sorted(files, key=lambda file: natural_key(file.name))


def numbered_files(pattern: Path) -> dict[int, Path]:
    """The existing files of a printf pattern, by number, in order.

    Raises:
        InputError: no pattern, or not with one number, in the file's name.
    """
    numbers = list(NUMBER.finditer(pattern.name))
    if len(numbers) != 1 or "%" in str(pattern.parent) or pattern.name.count("%") > 1:
        raise InputError(f"{pattern}: expected one number such as %06d, in the file's name")
    start, end = numbers[0].span()
    name = re.compile(re.escape(pattern.name[:start]) + r"(\d+)" + re.escape(pattern.name[end:]))
    found = {}
    for file in pattern.parent.iterdir() if pattern.parent.is_dir() else ():
        number = name.fullmatch(file.name)
        # %06d writes 7 as 000007 and nothing else, so 7.png belongs to another sequence.
        if number and pattern.name % int(number[1]) == file.name:
            found[int(number[1])] = file
    return dict(sorted(found.items()))


def complete_files(pattern: Path) -> list[Path]:
    """The files of a printf pattern, from the lowest number to the highest.

    Raises:
        InputError: no such files, or one is missing in between.
    """
    files = numbered_files(pattern)
    if not files:
        raise InputError(f"{pattern}: no such files")
    for before, after in pairwise(files):
        if after != before + 1:
            missing, last = pattern.with_name(pattern.name % (before + 1)), list(files.values())[-1]
            raise InputError(
                f"{missing}: missing between {next(iter(files.values())).name} and {last.name}; "
                "name the folder to take its files as they are"
            )
    return list(files.values())


def natural_key(name: str) -> list[tuple[int, str, str]]:
    """A key that sorts frame2 before frame10; equal numbers by how they are written."""
    parts = re.split(r"(\d+)", name)  # texts at even places, numbers at odd ones
    return [
        (len(part.lstrip("0")), part.lstrip("0"), part) if place % 2 else (0, part, "")
        for place, part in enumerate(parts)
    ]
