"""How far a command is and how long it still takes, on stderr.

On a terminal a bar; in a log file or a pipe one line about every ten seconds, and one at the end.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from tqdm import tqdm

Item = TypeVar("Item")


class Meter:
    """A progress display, as a context manager.

    Args:
        total: what counts as done, in ``unit``.
        desc: what is being done, one or two words.
        unit: of ``total``.
        start: how much was done before (a resumed run); it does not count for the speed.
        interval: seconds between lines where there is no terminal.
    """

    def __init__(self, total: float, desc: str, unit: str = "frame", start: float = 0, interval: float = 10.0) -> None:
        self.total, self.desc, self.unit = total, desc, unit
        self.done, self.start = start, start
        self.interval = interval
        self.note = ""

    def __enter__(self) -> Meter:
        self.began = self.reported = time.monotonic()
        self.bar = None
        if sys.stderr.isatty():
            self.bar = tqdm(
                total=self.total, initial=self.start, desc=self.desc, unit=self.unit, dynamic_ncols=True, leave=True
            )
        return self

    def reach(self, done: float, note: str = "") -> None:
        """``done`` of ``total`` is done by now; ``note`` is shown beside it."""
        if self.bar is not None:
            self.bar.set_postfix_str(note, refresh=False)
            self.bar.update(done - self.done)
        self.done, self.note = done, note
        if self.bar is None and time.monotonic() - self.reported >= self.interval:
            self.report()

    def report(self) -> None:
        """Write one line."""
        self.reported = time.monotonic()
        text = tqdm.format_meter(
            round(self.done, 1),
            self.total,
            self.reported - self.began,
            ncols=0,
            prefix=self.desc,
            unit=self.unit,
            initial=self.start,
            postfix=self.note,
        )
        print(text, file=sys.stderr, flush=True)

    def __exit__(self, *error: object) -> None:
        if self.bar is not None:
            self.bar.close()
        else:
            self.report()


def progress(iterable: Iterable[Item], total: int, desc: str, unit: str = "frame") -> Iterator[Item]:
    """Pass the items on and show how many of ``total`` went by and the time left."""
    with Meter(total, desc, unit) as meter:
        for done, item in enumerate(iterable, start=1):
            yield item
            meter.reach(done)
