"""Procedural landscapes, streets and interiors with exact colour, depth, labels, flow and pose."""

from pipelines.worlds.interior import Interior
from pipelines.worlds.light import Light
from pipelines.worlds.street import Street
from pipelines.worlds.truth import flow_between
from pipelines.worlds.world import Frame, World

__all__ = ["Frame", "Interior", "Light", "Street", "World", "flow_between"]
