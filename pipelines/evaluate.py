"""``viewsynth evaluate``: measure a job beside its baselines. One table, from a job's name to the function."""

from __future__ import annotations

import importlib
from collections.abc import Sequence

from pipelines.cli import suggestion
from pipelines.errors import InputError

JOBS = {
    # name: (module:function, what it measures)
    "flyover": (
        "pipelines.evaluation.flyover:main",
        "true frames of held-out worlds, drift of long flights, memory on return, speed",
    ),
    "footage": ("pipelines.evaluation.footage:main", "labels obeyed, flicker, sharpness, memory on return, speed"),
    "restyle": (
        "pipelines.evaluation.restyle:main",
        "another light against the true one, real nights, edges and flicker of real clips, speed",
    ),
    "views": (
        "pipelines.evaluation.views:main",
        "true against synthesized views, depth, the photo's own camera, speed",
    ),
}


def main(argv: Sequence[str]) -> None:
    """Run the evaluation that the first argument names; it reads the rest."""
    if not argv or argv[0] in ("-h", "--help"):
        print(overview())
        return
    name, *rest = argv
    if name not in JOBS:
        wanted = suggestion(name, JOBS) or f" (jobs: {', '.join(JOBS)})"
        raise InputError(f"unknown job {name}{wanted}")
    module, _, function = JOBS[name][0].partition(":")
    getattr(importlib.import_module(module), function)(rest)


def overview() -> str:
    """The text of ``viewsynth evaluate --help``."""
    width = max(map(len, JOBS))
    lines = [f"  {name:<{width}}  {summary}" for name, (_, summary) in JOBS.items()]
    return "\n".join(
        [
            "usage: viewsynth evaluate JOB [OPTIONS]",
            "",
            "jobs, and what is measured:",
            *lines,
            "",
            "viewsynth evaluate JOB --help shows a job's options and examples.",
        ]
    )
