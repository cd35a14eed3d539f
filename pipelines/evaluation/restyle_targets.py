"""What was wished of restyling, and whether the figures have it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from pipelines.evaluation.report import Target
from pipelines.evaluation.restyle_clips import WISHES
from pipelines.evaluation.restyle_methods import RESTYLE, TRANSFERS, UNCHANGED
from pipelines.evaluation.restyle_worlds import true_reference
from pipelines.evaluation.takes import Rows, mean

LEAD = {"PSNR": 2.0, "SSIM": 0.0}  # wanted over the better transfer of colours


def targets(
    cost: Mapping[str, Any],
    long_run: Mapping[str, float],
    quality: Mapping[str, Rows],
    nights: Rows,
    clips: Mapping[str, Mapping[str, Rows]],
    changed: float,
) -> list[Target]:
    """What was wished for and what came of it; nan for what was not measured."""
    transfers = {"of colours": list(TRANSFERS), "from the truth": [true_reference(method) for method in TRANSFERS]}

    def lead(rows: Rows, figure: str, baselines: Sequence[str]) -> float:
        return rows[RESTYLE][figure] - max(rows[method][figure] for method in baselines)

    def nearer(figure: str) -> float:
        return nights[RESTYLE][figure] / min(nights[method][figure] for method in TRANSFERS) if nights else math.nan

    def of_clips(light: str, figure: str) -> list[float]:
        found = [rows[RESTYLE][figure] for rows in clips.get(light, {}).values()]
        return [value for value in found if not math.isnan(value)] or [math.nan]

    edges, flicker = "edges", "warp error / source"
    return [
        *(
            Target(f"{figure} above the better transfer {of}, {name}", lead(rows, figure, methods), wanted, True)
            for of, methods in transfers.items()
            for name, rows in quality.items()
            for figure, wanted in LEAD.items()
        ),
        *(
            Target(f"PSNR above the unchanged source, {name}", lead(rows, "PSNR", [UNCHANGED]), 0.0, True)
            for name, rows in quality.items()
        ),
        *(
            Target(f"distance to real nights / that of the better transfer, {figure}", nearer(figure), 1.0)
            for figure in ("colour", "gradient")
        ),
        *(
            Target(f"edges kept, real clips to {light}, mean", mean(of_clips(light, edges)), 0.9, True)
            for light in WISHES
        ),
        *(
            Target(f"edges kept, real clips to {light}, worst", min(of_clips(light, edges)), 0.9, True)
            for light in WISHES
        ),
        *(Target(f"flicker, {flicker}, {light}, mean", mean(of_clips(light, flicker)), 1.2) for light in WISHES),
        *(Target(f"flicker, {flicker}, {light}, worst", max(of_clips(light, flicker)), 1.2) for light in WISHES),
        Target("frames that strength 0 changes", changed, 0.0),
        Target(f"frames per second at {cost['height']}x{cost['width']}", cost["frames per second"], 6.0, True),
        Target("constant memory, MiB more over the long run", long_run.get("MiB more", math.nan), 32.0),
    ]
