"""Camera moves around one photo: pose and field of view as pure functions of progress.

The photo is taken from the origin, looking along z. Every move is scaled by the scene: what one photo does not show
grows with the distance that the camera goes, measured in the depth of what is nearest. With amount 1 little of the
picture has to be invented; the amount multiplies every distance and angle, and a negative one reverses them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from render_refine.depth_maps import NEAREST_SHARE
from render_refine.keyframes import CameraPath, View

REACH = 0.12  # how far a camera goes sideways, in depths of what is nearest
TURN = 0.1  # how far it turns, in fields of view
SWING = math.radians(8)  # how far it goes around the subject, at most


@dataclass(frozen=True)
class Scene:
    """What a move needs to know of a photo.

    Attributes:
        subject: depth of what moves turn around, the median, in scene units.
        near: depth of the nearest tenth.
        fov: the photo's field of view along its longer side, radians.
        aspect: the photo's width by its height.
    """

    subject: float
    near: float
    fov: float
    aspect: float

    @staticmethod
    def of(depth: Tensor, fov: float) -> Scene:
        """Measure a photo's depth (H, W), inf in the sky."""
        # Quantiles need no more pixels than that, and torch takes no more than 2^24.
        step = max(1, math.isqrt(depth.numel() // 2**18))
        aspect = depth.shape[1] / depth.shape[0]
        finite = depth[::step, ::step]
        finite = finite[torch.isfinite(finite)].double()
        if not len(finite):
            return Scene(1.0, 1.0, fov, aspect)
        return Scene(float(finite.median()), float(finite.quantile(NEAREST_SHARE)), fov, aspect)

    @property
    def reach(self) -> float:
        """Farthest step to the side."""
        return min(REACH * self.near, self.subject * math.tan(SWING))

    @property
    def advance(self) -> float:
        """Farthest step ahead: longer, since what is ahead only grows."""
        return 2.5 * REACH * self.near

    @property
    def swing(self) -> float:
        """Angle around the subject that takes the camera ``reach`` to the side."""
        return math.asin(self.reach / math.hypot(self.reach, self.subject))

    @property
    def across(self) -> float:
        """The photo's field of view along its width, radians."""
        return 2 * math.atan(math.tan(self.fov / 2) * min(1.0, self.aspect))

    @property
    def upright(self) -> float:
        """The photo's field of view along its height, radians."""
        return 2 * math.atan(math.tan(self.fov / 2) / max(1.0, self.aspect))

    def looking_at_subject(self, x: float, y: float, z: float) -> View:
        """From a position, towards the subject in the middle of the photo, or ahead where that is passed."""
        dx, dy, dz = -x, -y, max(self.subject - z, 0.1 * self.subject)
        return View.at((x, y, z), self.fov, math.atan2(dx, dz), math.atan2(-dy, math.hypot(dx, dz)))

    def around_subject(self, angle: float) -> View:
        """On the circle around the subject, to the right by an angle."""
        x, z = self.subject * math.sin(angle), self.subject * (1 - math.cos(angle))
        return View.at((x, 0.0, z), self.fov, yaw=-angle)

    def zoomed(self, factor: float) -> float:
        """The field of view of a lens ``factor`` times as long."""
        return 2 * math.atan(math.tan(self.fov / 2) / factor)


def static(scene: Scene, amount: float, t: float) -> View:
    return View.at((0.0, 0.0, 0.0), scene.fov)


def orbit(scene: Scene, amount: float, t: float) -> View:
    return scene.around_subject(amount * scene.swing * math.sin(2 * math.pi * t))


def arc(scene: Scene, amount: float, t: float) -> View:
    return scene.around_subject(amount * scene.swing * (2 * t - 1))


def dolly_in(scene: Scene, amount: float, t: float) -> View:
    return View.at((0.0, 0.0, amount * scene.advance * t), scene.fov)


def dolly_out(scene: Scene, amount: float, t: float) -> View:
    return dolly_in(scene, -0.4 * amount, t)


def truck(scene: Scene, amount: float, t: float) -> View:
    return View.at((amount * scene.reach * t, 0.0, 0.0), scene.fov)


def pedestal(scene: Scene, amount: float, t: float) -> View:
    return View.at((0.0, -0.7 * amount * scene.reach * t, 0.0), scene.fov)


def pan(scene: Scene, amount: float, t: float) -> View:
    return View.at((0.0, 0.0, 0.0), scene.fov, yaw=amount * TURN * scene.across * t)


def tilt(scene: Scene, amount: float, t: float) -> View:
    return View.at((0.0, 0.0, 0.0), scene.fov, pitch=amount * TURN * scene.upright * t)


def roll(scene: Scene, amount: float, t: float) -> View:
    return View.at((0.0, 0.0, 0.0), scene.fov, roll=amount * math.radians(5) * t)


def zoom(scene: Scene, amount: float, t: float) -> View:
    return View.at((0.0, 0.0, 0.0), scene.zoomed(1.3 ** (amount * t)))


def dolly_zoom(scene: Scene, amount: float, t: float) -> View:
    # A subject at distance d through a lens of length f has the size f / d, so both shrink by one factor.
    factor = (1 - min(scene.advance / scene.subject, 0.1)) ** (amount * t)
    return View.at((0.0, 0.0, scene.subject * (1 - factor)), scene.zoomed(factor))


def spiral(scene: Scene, amount: float, t: float) -> View:
    wound = math.sin(math.pi * t) ** 2
    radius, angle = 0.7 * amount * scene.reach * wound, 4 * math.pi * t
    ahead = amount * scene.advance * wound
    return scene.looking_at_subject(radius * math.cos(angle), radius * math.sin(angle), ahead)


def ken_burns(scene: Scene, amount: float, t: float) -> View:
    # The lens closes in faster than the view turns, so that it never looks over the edge of the photo.
    step = amount * t
    aside, ahead = 0.35 * scene.reach * step, 0.3 * scene.advance * step
    yaw, pitch = 0.03 * scene.across * step, 0.02 * scene.upright * step
    return View.at((aside, 0.0, ahead), scene.zoomed(1.2**step), yaw, pitch)


def sway(scene: Scene, amount: float, t: float) -> View:
    x = amount * scene.reach * math.sin(2 * math.pi * t)
    return scene.looking_at_subject(x, 0.25 * amount * scene.reach * math.sin(4 * math.pi * t), 0.0)


@dataclass(frozen=True)
class Preset:
    """A move.

    Attributes:
        view: of a scene, an amount, and progress in [0, 1].
        summary: what it does, for people.
        closed: it ends as it began.
    """

    view: Callable[[Scene, float, float], View]
    summary: str
    closed: bool = False


PRESETS = {
    "orbit": Preset(orbit, "around the subject, to the right, through to the left, and back", True),
    "arc": Preset(arc, "around the subject, once from left to right"),
    "dolly-in": Preset(dolly_in, "towards the subject"),
    "dolly-out": Preset(dolly_out, "away from the subject"),
    "truck": Preset(truck, "to the right, looking straight ahead"),
    "pedestal": Preset(pedestal, "up, looking straight ahead"),
    "pan": Preset(pan, "turns to the right where it stands"),
    "tilt": Preset(tilt, "looks up"),
    "roll": Preset(roll, "turns clockwise about the line of sight"),
    "zoom": Preset(zoom, "the lens closes in; nothing moves"),
    "dolly-zoom": Preset(dolly_zoom, "goes in while the lens opens: the subject keeps its size"),
    "spiral": Preset(spiral, "two turns, winding outwards and in, and back", True),
    "ken-burns": Preset(ken_burns, "a slow zoom into the photo, with a little parallax"),
    "sway": Preset(sway, "a lying eight, eyes on the subject", True),
    "static": Preset(static, "does not move", True),
}


def preset_path(name: str, scene: Scene, amount: float = 1.0) -> CameraPath:
    """The path of a preset in a scene.

    Args:
        name: of `PRESETS`.
        scene: what it is scaled by.
        amount: multiplies every distance and angle.
    """
    preset = PRESETS[name]
    return CameraPath(lambda t: preset.view(scene, amount, t), preset.closed)
