"""Procedural landscapes with exact colour, depth, labels, flow and pose, at any hour of any season."""

from pipelines.worlds.light import Light
from pipelines.worlds.truth import flow_between
from pipelines.worlds.world import Frame, World

__all__ = ["Frame", "Light", "World", "flow_between"]
