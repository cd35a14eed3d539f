"""Values of command-line options: how a word becomes a number, a size or a rate, and how it is refused.

Use the types in an options dataclass: ``frames: Count = 240``, ``fps: Rate = Fraction(30)``,
``size: Size | None = None``.
"""

from __future__ import annotations

import math
import re
import types
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any, Union, get_args

from tyro.constructors import ConstructorRegistry, PrimitiveConstructorSpec, PrimitiveTypeInfo

from pipelines.errors import InputError

LARGEST_SIDE = 8192


def parse_size(word: str) -> tuple[int, int]:
    """``"256x448"`` as (height, width).

    Raises:
        InputError: not of that form, or a side outside 1..8192.
    """
    match = re.fullmatch(r"\s*([+-]?[0-9]{1,18})\s*[xX×]\s*([+-]?[0-9]{1,18})\s*", word)
    if match is None:
        raise InputError(f"expected HEIGHTxWIDTH in pixels such as 256x448, got {word!r}")
    height, width = (int(side) for side in match.groups())
    if not (1 <= height <= LARGEST_SIDE and 1 <= width <= LARGEST_SIDE):
        raise InputError(f"expected sides from 1 to {LARGEST_SIDE} pixels, got {word!r}")
    return height, width


def parse_whole(word: str) -> int:
    """A whole number, of either sign."""
    if not re.fullmatch(r"[+-]?[0-9]{1,18}", word.strip()):
        raise InputError(f"expected a whole number, got {word!r}")
    return int(word)


def parse_count(word: str) -> int:
    """A whole number from 1 on."""
    number = parse_whole(word)
    if number < 1:
        raise InputError(f"expected a whole number from 1 on, got {word!r}")
    return number


def parse_number(word: str) -> float:
    """A finite number."""
    try:
        number = float(word)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise InputError(f"expected a finite number, got {word!r}")
    return number


def parse_rate(word: str) -> Fraction:
    """Frames per second as an exact fraction: ``30``, ``24000/1001`` or ``12.5``; above 0, at most 1000."""
    try:
        rate = Fraction(word.strip())
    except (ValueError, ZeroDivisionError):
        raise InputError(f"expected frames per second such as 30 or 24000/1001, got {word!r}") from None
    if not 0 < rate <= 1000 or rate.denominator > 1_000_000:
        raise InputError(f"expected a rate above 0 and at most 1000 frames per second, got {word!r}")
    return rate


def value(metavar: str, parser: Callable[[str], Any], show: Callable[[Any], str] = str) -> PrimitiveConstructorSpec:
    """How tyro reads one word into a value, and shows the value as a default."""
    return PrimitiveConstructorSpec(
        nargs=1,
        metavar=metavar,
        instance_from_str=lambda words: parser(words[0]),
        is_instance=lambda instance: instance is not None,
        str_from_instance=lambda instance: [show(instance)],
    )


Size = Annotated[tuple[int, int], value("HxW", parse_size, lambda size: f"{size[0]}x{size[1]}")]
Count = Annotated[int, value("INT", parse_count)]
Rate = Annotated[Fraction, value("RATE", parse_rate)]

PLAIN: dict[Any, PrimitiveConstructorSpec] = {
    int: value("INT", parse_whole),
    float: value("NUMBER", parse_number),
    str: value("TEXT", str),
    Path: value("PATH", Path),
}


def registry() -> ConstructorRegistry:
    """tyro's rules with two of ours: clear messages for plain numbers, and ``T | None`` that reads as T.

    An optional value is left out to mean None; tyro itself would offer the word "None" too, in the help
    and in every message.
    """
    rules = ConstructorRegistry()

    @rules.primitive_rule
    def plain(info: PrimitiveTypeInfo) -> PrimitiveConstructorSpec | None:
        return PLAIN.get(info.type) if isinstance(info.type, type) else None

    @rules.primitive_rule
    def optional(info: PrimitiveTypeInfo) -> PrimitiveConstructorSpec | None:
        if info.type_origin not in (Union, types.UnionType) or types.NoneType not in get_args(info.type):
            return None
        some = [kind for kind in get_args(info.type) if kind is not types.NoneType]
        own = [entry for entry in getattr(some[0], "__metadata__", ()) if isinstance(entry, PrimitiveConstructorSpec)]
        spec = own[0] if own else PLAIN.get(some[0])
        if len(some) > 1 or spec is None:
            return None
        return PrimitiveConstructorSpec(
            nargs=1,
            metavar=spec.metavar,
            instance_from_str=spec.instance_from_str,
            is_instance=lambda instance: True,
            str_from_instance=lambda instance: ["none"] if instance is None else spec.str_from_instance(instance),
        )

    return rules
