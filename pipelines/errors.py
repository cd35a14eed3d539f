"""The one error that means: the input was wrong, nothing is broken, here is what to change."""

from __future__ import annotations


class InputError(ValueError):
    """Bad input from the person who called. The message names the thing, what was found and what was wanted.

    The command line prints it as one line, ``viewsynth COMMAND: error: ...``, and exits with code 2.
    """
