"""Procedural landscapes and streets with exact colour, depth, labels, flow and pose, at any hour of any season."""

from pipelines.worlds.light import Light
from pipelines.worlds.street import Street
from pipelines.worlds.truth import flow_between
from pipelines.worlds.world import Frame, World

__all__ = ["Frame", "Light", "Street", "World", "flow_between"]
