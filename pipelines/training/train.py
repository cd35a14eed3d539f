"""``viewsynth train RECIPE``: make a bundled model again, or one's own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal

import tyro

from pipelines.cli import parse
from pipelines.errors import InputError
from pipelines.models import load_depth, load_motion, load_refiner, load_segmenter, usable_device
from pipelines.options import Count
from pipelines.training.run import Budget, Kit, Recipe, run

EXAMPLES = """Train a model, resumable after a kill at any moment: run the same command again.

recipes:
  depth      depth from one photo, on procedural landscapes, streets and interiors
  refiner    what a flyover draws where its memory has holes, on worlds and, with --photos, on photographs
  segmenter  what every pixel shows, on clips and worlds or, with --camvid, on that data set's streets
  motion     how label maps move, on procedural clips
  views      new views of one photo, on procedural places and, with --photos or --posed, on real ones
  footage    painting label maps, on procedural clips (and worlds) or, with --camvid, on that data set's streets
  restyle    another time of day or season, on places under nine lights each and, with --photos, on photographs
  lights     what lights up at night, on places by day and, with --photos, on photographs in which nothing does
  snow       where snow would lie, on the places of restyle

examples:
  viewsynth train depth --minutes 60
  viewsynth train refiner --minutes 120 --photos photos/ -o runs/refiner
  viewsynth train segmenter --minutes 30 --camvid camvid/
  viewsynth train views --minutes 120 --photos photos/ --posed realestate10k/
  viewsynth train footage --minutes 90 --camvid camvid/ -o runs/camvid
  viewsynth train restyle --minutes 90 --photos photos/
  viewsynth footage labels/ --weights runs/camvid/model
  viewsynth flyover photo.jpg --weights runs/refiner/model

Worlds and clips are rendered first, once, on all cores. The run's folder holds log.jsonl, samples/*.png (look at
them), checkpoint.pt and at the end model/."""


@dataclass(frozen=True)
class TrainOptions:
    recipe: tyro.conf.Positional[
        Literal["depth", "refiner", "segmenter", "motion", "footage", "views", "restyle", "lights", "snow"]
    ]
    """depth, refiner, segmenter, motion, footage, views, restyle, lights or snow"""
    output: Annotated[Path | None, tyro.conf.arg(aliases=["-o"])] = None
    """folder of the run; runs/RECIPE when left out"""
    minutes: float | None = None
    """how long to train"""
    steps: Count | None = None
    """how many steps to train"""
    worlds: Path = Path("runs/worlds")
    """folder for the rendered worlds"""
    pairs: Count = 2000
    """how many pairs of frames to render"""
    flights: Path = Path("runs/flights")
    """folder for the rendered flights, for the refiner"""
    flight_count: Count = 70
    """how many flights to render"""
    photos: Path | None = None
    """folder of photographs with a manifest.csv (columns file, licence), for the refiner, views, restyle, lights"""
    places: Path = Path("runs/places")
    """folder for the rendered places, for views"""
    place_count: Count = 1200
    """how many places to render"""
    posed: Path | None = None
    """folder of clips with known cameras (RealEstate10K, ACID, COLMAP, transforms.json), for views"""
    clips: Path = Path("runs/clips")
    """folder for the rendered clips"""
    clip_count: Count = 400
    """how many clips to render"""
    clip_frames: Count = 8
    """how many frames a clip has"""
    camvid: Path | None = None
    """folder of the CamVid data set, for a segmenter or footage of its classes"""
    lights: Path = Path("runs/lights")
    """folder for the places rendered under nine lights each, for restyle and snow"""
    light_count: Count = 700
    """how many such places to render"""
    lit: Path = Path("runs/lit")
    """folder for the places rendered by day with all that lights up at night, for lights"""
    lit_count: Count = 600
    """how many of these to render"""
    start: Path | None = None
    """folder of a refiner to go on from, with fresh optimisers; without it training begins at random weights"""
    device: str = "cpu"
    """cpu, cuda or cuda:N"""
    seed: int = 0
    """of everything random"""


def main(argv: Sequence[str]) -> None:
    """Parse the options and train."""
    options = parse(TrainOptions, argv, prog="viewsynth train", description=EXAMPLES)
    usable_device(options.device)
    if options.start is not None and options.recipe != "refiner":
        raise InputError(f"--start is for the refiner, not for {options.recipe}")
    budget = Budget(options.steps, options.minutes)
    build = BUILDERS[options.recipe](options)
    run(build, options.output or Path("runs") / options.recipe, budget, device=options.device, seed=options.seed)


def depth(options: TrainOptions):
    """Builder of the depth recipe."""
    from pipelines.training.depth import DepthConfig, DepthRecipe
    from pipelines.training.pictures import PlaceDepth, Together, WorldFrames
    from pipelines.training.view_set import ViewSet
    from pipelines.training.world_set import WorldSet

    worlds = WorldSet(options.worlds, options.pairs)
    places = ViewSet(options.places, options.place_count)
    worlds.make()
    places.make()

    def build(kit: Kit) -> Recipe:
        return DepthRecipe(kit, Together(WorldFrames(worlds, "depth"), PlaceDepth(places)), DepthConfig())

    return build


def refiner(options: TrainOptions):
    """Builder of the refiner recipe."""
    from pipelines.training.flight_set import FlightSet
    from pipelines.training.photo_set import PhotoSet, free_photos, split
    from pipelines.training.refiner import RefinerRecipe, RefinerTraining
    from pipelines.training.world_set import WorldSet

    config = RefinerTraining(pairs=options.pairs)
    start = None
    if options.start is not None:
        start = load_refiner(options.start, options.device)
        config = replace(config, network=start.config)
    worlds = WorldSet(options.worlds, config.pairs)
    worlds.make()
    flights = FlightSet(options.flights, options.flight_count)
    flights.make()
    photos = None
    if options.photos is not None:
        photos = PhotoSet(split(free_photos(options.photos))[0], load_depth(options.device))

    def build(kit: Kit) -> Recipe:
        return RefinerRecipe(kit, worlds, photos, config, flights, start)

    return build


def segmenter(options: TrainOptions):
    """Builder of the segmenter recipe: CamVid's classes from CamVid, all classes from what is rendered."""
    from pipelines.training import segmenter as recipe
    from pipelines.training.camvid import CamVid
    from pipelines.training.clip_set import ClipSet
    from pipelines.training.pictures import Pictures, Together, WorldFrames
    from pipelines.training.world_set import WorldSet

    pictures: Pictures
    if options.camvid is not None:
        pictures, config = CamVid(options.camvid), recipe.on_camvid()
    else:
        clips = ClipSet(options.clips, options.clip_count, frames=options.clip_frames)
        worlds = WorldSet(options.worlds, options.pairs)
        clips.make()
        worlds.make()
        pictures = Together(recipe.StreetFrames(clips), WorldFrames(worlds, "labels"))
        config = recipe.on_worlds()

    def build(kit: Kit) -> Recipe:
        return recipe.SegmenterRecipe(kit, pictures, config)

    return build


def motion(options: TrainOptions):
    """Builder of the motion recipe."""
    from pipelines.training.clip_set import ClipSet
    from pipelines.training.motion import MotionRecipe, MotionTraining
    from pipelines.training.world_clips import WorldClips

    clips = ClipSet(options.clips, options.clip_count, frames=options.clip_frames)
    clips.make()
    config = MotionTraining()

    def build(kit: Kit) -> Recipe:
        return MotionRecipe(kit, WorldClips(clips), config)

    return build


def footage(options: TrainOptions):
    """Builder of the footage recipe: CamVid's classes from CamVid, all classes from what is rendered."""
    from pipelines.training.camvid import CAMVID_CLASSES, CamVid
    from pipelines.training.clip_batch import ClipSource, StillClips
    from pipelines.training.clip_set import ClipSet
    from pipelines.training.footage import FootageRecipe, FootageTraining
    from pipelines.training.world_clips import WorldClips
    from pipelines.training.world_set import WorldSet
    from vid2vid.generator import GeneratorConfig

    source: ClipSource
    if options.camvid is not None:
        # Photographs that a window moves over: the motion is known exactly and need not be predicted.
        source, network = StillClips(CamVid(options.camvid), 192, 256), None
        config = FootageTraining(network=GeneratorConfig(classes=CAMVID_CLASSES))
    else:
        clips = ClipSet(options.clips, options.clip_count, frames=options.clip_frames)
        worlds = WorldSet(options.worlds, options.pairs)
        clips.make()
        worlds.make()
        source, network, config = WorldClips(clips, worlds), load_motion(options.device), FootageTraining()

    def build(kit: Kit) -> Recipe:
        return FootageRecipe(kit, source, network, config)

    return build


def views(options: TrainOptions):
    """Builder of the views recipe: rendered places, and what there is of photographs and posed clips."""
    from pipelines.training.photo_set import free_photos, split
    from pipelines.training.posed_set import PosedClip, posed_clips
    from pipelines.training.view_pairs import PairSource, PosedPairs, RenderedPairs, TurnedPhotos
    from pipelines.training.view_set import ViewSet
    from pipelines.training.views import ViewsRecipe, ViewsTraining

    places = ViewSet(options.places, options.place_count)
    places.make()
    sources: list[tuple[float, PairSource]] = [(0.8, RenderedPairs(places))]
    clips = 0
    if options.photos is not None:
        sources.append((0.2, TurnedPhotos(split(free_photos(options.photos))[0])))
    if options.posed is not None:
        posed = [PosedClip.read(folder, places.height) for folder in posed_clips(options.posed)]
        clips = len(posed)
        sources.append((0.8, PosedPairs(posed)))
    config = ViewsTraining(clips=max(clips, 1))

    def build(kit: Kit) -> Recipe:
        return ViewsRecipe(kit, sources, config, start=load_depth(options.device).network)

    return build


def restyle(options: TrainOptions):
    """Builder of the restyle recipe: rendered places, and what there is of photographs."""
    from pipelines.training.light_pairs import LightPairs
    from pipelines.training.light_set import LightSet
    from pipelines.training.photo_looks import PhotoLooks
    from pipelines.training.photo_set import free_photos, split
    from pipelines.training.restyle import RestyleRecipe, RestyleTraining

    lights = LightSet(options.lights, options.light_count)
    lights.make()
    photos = None if options.photos is None else PhotoLooks(split(free_photos(options.photos))[0])

    def build(kit: Kit) -> Recipe:
        segmenter = load_segmenter(device=kit.device)
        return RestyleRecipe(kit, LightPairs(lights), photos, segmenter, RestyleTraining())

    return build


def lights(options: TrainOptions):
    """Builder of the lights recipe: rendered places, and photographs of nature."""
    from pipelines.training.detector import DetectorRecipe, DetectorTraining
    from pipelines.training.lit_places import LitPlaces, natural_places
    from pipelines.training.photo_set import free_photos, split
    from vid2vid.detector import DetectorConfig
    from vid2vid.lights import KINDS

    places = LitPlaces(options.lit, options.lit_count)
    places.make()
    photos = [] if options.photos is None else split(free_photos(options.photos))[0]
    nature = natural_places(photos, load_segmenter())

    def build(kit: Kit) -> Recipe:
        return DetectorRecipe(kit, "lights", places, nature, DetectorTraining(DetectorConfig(KINDS)))

    return build


def snow(options: TrainOptions):
    """Builder of the snow recipe: places that are also seen in winter."""
    from pipelines.training.detector import DetectorRecipe, DetectorTraining
    from pipelines.training.light_set import LightSet
    from pipelines.training.snow_places import SnowPlaces
    from vid2vid.detector import DetectorConfig

    lights = LightSet(options.lights, options.light_count)
    lights.make()
    config = DetectorTraining(
        DetectorConfig(("snow",), side=240), height=160, width=240, smallest_crop=0.35, natural=0.0, mixed=0.3,
        glazed=0.0, rare=1.0,
    )  # fmt: skip

    def build(kit: Kit) -> Recipe:
        return DetectorRecipe(kit, "snow", SnowPlaces(lights), [], config)

    return build


BUILDERS = {
    "depth": depth,
    "refiner": refiner,
    "segmenter": segmenter,
    "motion": motion,
    "footage": footage,
    "views": views,
    "restyle": restyle,
    "lights": lights,
    "snow": snow,
}
