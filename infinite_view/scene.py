"""What a camera move needs to know of the picture that it starts from."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from render_refine.camera import Camera, pose_from

STEEPEST = math.radians(12)  # that a photo is believed to look up or down


@dataclass(frozen=True)
class Scene:
    """Measures of a start frame, in its units of depth.

    Attributes:
        fov: field of view along the longer side, radians.
        travel: how far a flight goes in `infinite_view.autopilot.TRAVEL_FRAMES` frames.
        subject: depth of what an orbit turns around.
        height: of the camera above the ground.
        heading_pitch: direction of level flight, radians above the optical axis (towards the horizon).
    """

    fov: float
    travel: float
    subject: float
    height: float
    heading_pitch: float

    @staticmethod
    def of(depth: Tensor, fov: float) -> Scene:
        """Measure a start frame: depth (H, W), inf in the sky; fov along its longer side, radians."""
        height, width = depth.shape
        finite = torch.isfinite(depth)
        every = depth[finite]
        if not len(every):
            return Scene(fov, 1.0, 1.0, 0.25, 0.0)
        lower = depth[height // 2 :][finite[height // 2 :]]
        lower = lower if len(lower) else every
        camera = Camera.from_fov(height, width, fov)
        pitch = math.atan2(height / 2 - horizon_row(depth), float(camera.focal))
        pitch = max(-STEEPEST, min(STEEPEST, pitch))
        # Ground passes below the camera at the bottom of the picture.
        down = camera.at(level_pose(pitch)).unproject(depth)[..., 1]
        below = down[-max(height // 8, 1) :]
        below = below[torch.isfinite(below)]
        typical = float(lower.median())
        above = float(below.median()) if len(below) else 0.3 * typical
        return Scene(fov, 1.3 * typical, float(every.median()), max(above, 0.05 * typical), pitch)

    @property
    def clearance(self) -> float:
        """Height above ground that a flight always keeps."""
        return 0.4 * self.height

    @property
    def near(self) -> float:
        """The near bound: a flight is too near to things when much of its picture is nearer than this.

        In level flight at the clearance the ground comes into view at about three clearances.
        """
        return 2 * self.clearance

    @property
    def level_pose(self) -> Tensor:
        """``cam_from_world`` (4, 4) of the start frame in a world whose y axis points straight down."""
        return level_pose(self.heading_pitch)


def horizon_row(depth: Tensor) -> float:
    """Where the horizon lies in a depth map (H, W), not all of it sky, in pixels from the upper edge.

    What is farthest lies near it, and so does the skyline where it is lowest: mountains and trees stand above.
    """
    finite = torch.isfinite(depth)
    rows = (torch.arange(len(depth)) + 0.5)[:, None].expand_as(depth)
    farthest = rows[finite & (depth >= depth[finite].quantile(0.95))].median()
    skyline = torch.where(finite, rows, float(len(depth))).amin(dim=0)[finite.any(dim=0)].quantile(0.8)
    return max(float(farthest), float(skyline))


def level_pose(heading_pitch: float) -> Tensor:
    """A camera at the origin that sees the horizon ``heading_pitch`` radians above its axis."""
    return pose_from(torch.zeros(3), pitch=-heading_pitch)
