"""Restyling where the truth is known: places that were rendered in every light, none of them seen in training."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from pipelines.errors import InputError
from pipelines.evaluation.restyle_methods import (
    REFERENCE,
    RESTYLE,
    TRANSFERS,
    TRUE,
    UNCHANGED,
    restyled,
    transferred,
)
from pipelines.evaluation.restyle_scores import edge_similarity
from pipelines.evaluation.takes import SINGLE, Rows, levels
from pipelines.evaluation.view_scores import scarce
from pipelines.looks import Look
from pipelines.restyle import RestylePipeline
from pipelines.training.light_set import HOURS, Lights, LightSet
from pipelines.training.world_set import HELD_OUT_SEED
from render_refine.metrics import psnr, ssim
from vid2vid.classes import CLASSES

SKY, BUILDING, SNOW = (CLASSES.index(name) for name in ("sky", "building", "snow"))
KINDS = 2  # streets and landscapes take turns
DAY, DUSK, NIGHT = range(len(HOURS))
GREEN, AUTUMN, WINTER = (len(HOURS) * season for season in range(3))
TO_WINTER = "summer to winter"
TRANSITIONS = {
    "day to night": GREEN + NIGHT,
    "day to dusk": GREEN + DUSK,
    TO_WINTER: WINTER + DAY,
    "summer to autumn": AUTUMN + DAY,
}


def true_reference(method: str) -> str:
    """The name of a transfer of colours whose reference is the truth itself."""
    return f"{method}, true"


def on_true_labels(method: str) -> str:
    """The name of restyling that is told what the frames show."""
    return f"{method}, true labels"


@dataclass(frozen=True, eq=False)
class Case:
    """A place by day in the green season, and what is wanted of it.

    Attributes:
        name: of the transition.
        source: (2, 3, H, W) in [0, 1], two frames; labels: (2, H, W) what they show.
        target: (3, H, W) the second frame in the wished light; target_labels: (H, W).
        hour, season: of the target, None where it is that of the source.
        reference: (3, h, w) another place in the wished light.
    """

    name: str
    source: Tensor
    labels: Tensor
    target: Tensor
    target_labels: Tensor
    hour: float | None
    season: float | None
    reference: Tensor

    def regions(self) -> dict[str, Tensor]:
        """(1, H, W) bool by name: what a transfer of colours cannot know about this transition."""
        labels = self.labels[1][None]
        found = {"sky": labels == SKY}
        if self.hour is not None:
            found["buildings"] = labels == BUILDING
        if self.name == TO_WINTER:
            found["new snow"] = (self.target_labels[None] == SNOW) & (labels != SNOW)
        return found


def held_out_lights(cache: Path, places: int) -> LightSet:
    """``places`` in all lights, rendered when they are not in the cache.

    Raises:
        InputError: there would be no second place of a kind, to take the reference from.
    """
    if places < 2 * KINDS:
        raise InputError(
            f"--places {places}: wanted {2 * KINDS} or more, for the reference is another place of the same kind"
        )
    lights = LightSet(cache, places, seed=HELD_OUT_SEED)
    lights.make()
    return lights


def cases(places: LightSet, index: int) -> Iterator[Case]:
    """All transitions of a place; the reference is the next place of its kind, the first for the last."""
    place = places[index]
    following = [k for k in range(len(places)) if k % KINDS == index % KINDS]
    other = places[following[(following.index(index) + 1) % len(following)]]
    for name, wanted in TRANSITIONS.items():
        yield case(name, place, other, wanted)


def case(name: str, place: Lights, other: Lights, wanted: int) -> Case:
    """One transition, from the first light of a place to light ``wanted``."""

    def asked(values: Tensor) -> float | None:
        return None if values[wanted] == values[0] else float(values[wanted])

    return Case(
        name,
        place.rgb[0],
        place.labels[0],
        place.rgb[wanted, 1],
        place.labels[wanted, 1],
        asked(place.hours),
        asked(place.seasons),
        other.rgb[wanted, 1],
    )


def pictures(pipeline: RestylePipeline, wanted: Case) -> dict[str, Tensor]:
    """What each method makes of the second frame, (3, H, W) uint8."""
    second = wanted.source[1:]
    look = Look.at(pipeline.style(hour=wanted.hour, season=wanted.season), 1.0, wanted.hour, wanted.season)
    by_picture = Look(pipeline.style(reference=wanted.reference), 1.0)
    return {
        UNCHANGED: levels(second[0]),
        **{method: transferred(method, second, wanted.reference)[0] for method in TRANSFERS},
        **{true_reference(method): transferred(method, second, wanted.target)[0] for method in TRANSFERS},
        SINGLE: restyled(pipeline, wanted.source, look, temporal=False)[1],
        REFERENCE: restyled(pipeline, wanted.source, by_picture)[1],
        on_true_labels(RESTYLE): restyled(pipeline, wanted.source, look, list(wanted.labels))[1],
        RESTYLE: restyled(pipeline, wanted.source, look)[1],
        TRUE: levels(wanted.target),
    }


def judge(wanted: Case, shown: dict[str, Tensor]) -> Rows:
    """Figures by method: PSNR, also of each region, and SSIM against the truth, and edges against the source."""
    regions = wanted.regions()
    outside_sky = ~regions["sky"][0]
    rows: Rows = {}
    for method, picture in shown.items():
        rgb = picture.float() / 255
        row = {}
        if method != TRUE:
            row["PSNR"], row["SSIM"] = float(psnr(rgb, wanted.target)), float(ssim(rgb, wanted.target))
            for name, mask in regions.items():
                row[f"PSNR, {name}"] = math.nan if scarce(mask) else float(psnr(rgb, wanted.target, mask))
        row["edges"] = math.nan if scarce(outside_sky) else edge_similarity(wanted.source[1], rgb, outside_sky)
        rows[method] = row
    return rows
