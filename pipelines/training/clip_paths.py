"""How the camera of a training clip moves: drives, walks, flights, side steps, turns, and cameras that stand still."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from pipelines.worlds import Street, World, flow_between
from render_refine.camera import Camera, pose_from

STEP = 0.1  # seconds between two frames
TRIES = 40


@dataclass(frozen=True)
class Move:
    """Per frame: metres along the way, a share of that to the right and up, radians to the right; and sway."""

    speed: float
    sideways: float
    rise: float
    turn: float
    sway: float
    phase: float
    pitch: float

    @staticmethod
    def random(generator: torch.Generator) -> Move:
        """Mostly forward; some sideways, some turning on the spot, one in ten still. ``speed`` is 0 or in [0.2, 1]."""

        def uniform(low: float, high: float) -> float:
            return low + (high - low) * torch.rand((), generator=generator).item()

        kind, speed, gentle = uniform(0, 1), uniform(0.2, 1.0), uniform(-0.006, 0.006)
        sway, phase, rise, pitch = (
            uniform(0.0, 0.02),
            uniform(0, 2 * math.pi),
            uniform(-0.06, 0.06),
            uniform(-2e-3, 2e-3),
        )
        if kind < 0.1:
            return Move(0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
        if kind < 0.25:
            turn = math.copysign(uniform(0.008, 0.035), gentle)
            return Move(speed * (0.3 if kind < 0.17 else 0.0), 0.0, 0.0, turn, 0.5 * sway, phase, pitch)
        if kind < 0.38:
            return Move(0.4 * speed, math.copysign(uniform(1.0, 4.0), pitch), 0.0, gentle, sway, phase, pitch)
        return Move(speed, 0.0, rise, gentle, sway, phase, pitch)

    @property
    def stands(self) -> bool:
        """Whether the place never changes."""
        return self.speed == 0

    def at(self, frame: int, scale: float) -> tuple[float, float, float, float, float]:
        """(forward, right, up) in metres times ``scale``, and (yaw, pitch) in radians, since the first frame."""
        norm = math.hypot(1.0, self.sideways)
        along = self.speed * frame * scale / norm
        swing = math.sin(0.9 * frame + self.phase) - math.sin(self.phase)
        sway = self.sway * swing * scale * (not self.stands)
        return (
            along,
            along * self.sideways + sway,
            along * self.rise + 0.5 * sway,
            self.turn * frame + 0.1 * self.sway * swing,
            self.pitch * frame,
        )


def angles(camera: Camera) -> tuple[float, float]:
    """(yaw, pitch) of a camera in radians."""
    x, y, z = camera.world_from_cam[:3, 2].tolist()
    return math.atan2(x, z), math.asin(max(-1.0, min(1.0, -y)))


def street_path(street: Street, generator: torch.Generator, frames: int, height: int, width: int) -> list[Camera]:
    """Cameras, ``STEP`` seconds apart, that follow the street and run into nothing."""
    for _ in range(TRIES):
        first = street.random_camera(generator, height, width)
        move = Move.random(generator)
        x, y, z = first.centre
        s, t = (float(v) for v in street.floor.coordinates(x, z))
        yaw, pitch = angles(first)
        _, _, heading = street.floor.place(s, t)
        way = 1.0 if math.cos(yaw - heading) > 0 else -1.0
        path = []
        for k in range(frames):
            forward, right, up, turn, tilt = move.at(k, 1.0)
            x_k, z_k, heading_k = street.floor.place(s + way * forward, t + way * min(max(right, -3.0), 3.0))
            position = torch.tensor([x_k, float(y) - min(max(up, -0.3), 0.6), z_k])
            path.append(first.at(pose_from(position, yaw + turn + heading_k - heading, pitch + tilt)))
        if all(street.clear(camera.centre[None], STEP * k, room=0.6) for k, camera in enumerate(path)):
            return path
    return [first] * frames


def landscape_path(world: World, generator: torch.Generator, frames: int, height: int, width: int) -> list[Camera]:
    """Cameras above the ground, as fast as makes the median flow 1 to 6 pixels a frame at 256 pixels of width."""
    first = world.random_camera(generator, height, width)
    move = Move.random(generator)
    wanted = (1 + 5 * torch.rand((), generator=generator).item()) * width / 256
    yaw, pitch = angles(first)
    position = first.centre

    def camera_at(k: int, scale: float, turning: bool = True) -> Camera:
        forward, right, up, turn, tilt = move.at(k, scale)
        x = forward * math.sin(yaw) + right * math.cos(yaw)
        z = forward * math.cos(yaw) - right * math.sin(yaw)
        there = position + torch.tensor([x, -up, z])
        return first.at(pose_from(there, yaw + turn * turning, pitch + tilt * turning))

    if move.stands:
        return [camera_at(k, 0.0) for k in range(frames)]
    small = first.resize(round(height / 4), round(width / 4))
    depth = world.render(small).depth
    near = float(depth[depth.isfinite()].quantile(0.05)) if depth.isfinite().any() else 10.0
    probe = 0.01 * near
    flow = flow_between(depth, small, small.at(camera_at(1, probe, turning=False).cam_from_world))
    usual = 4 * float(flow[:, depth.isfinite()].norm(dim=0).nanmedian()) if depth.isfinite().any() else 1.0
    scale = min(probe * wanted / max(usual, 1e-6), 0.25 * near / max(move.speed, 0.1))
    room = 0.4 * float(-position[1] - world.ground_height(position[0], position[2]))
    for _ in range(8):
        places = torch.stack([camera_at(k, scale).centre for k in range(-1, frames + 2)])
        if bool((-places[:, 1] > world.ground_height(places[:, 0], places[:, 2]) + room).all()):
            break
        scale *= 0.6
    else:
        scale = 0.0
    return [camera_at(k, scale) for k in range(frames)]
