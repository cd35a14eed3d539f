"""Moving an image: backward warps by flow or by depth and two cameras, and what a move hides.

Symbols: (u, v) pixel coordinates with centres at +0.5; flow f = (f_u, f_v) in pixels, so that the
point at p in one image is at p + f(p) in the other. "Backward" means that every pixel of the result
looks up where it came from, so the result has no holes, only pixels that are not valid.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from render_refine.camera import Camera

# Flow of a point that the other camera has at its back: finite, and outside every image.
NOWHERE = 1e6
# Sampling positions this far (pixels) outside the outermost pixel centres still count as inside:
# float32 rounding on an image of some thousand pixels.
ROUNDING = 1e-2

# How far (of its depth) a surface may lie from where it was thought to be, and how near a ray must come to it.
RELIEF, MET = 0.1, 1e-3

Padding = Literal["border", "zeros"]
Interpolation = Literal["bilinear", "bicubic"]


def sample(
    image: Tensor, uv: Tensor, padding: Padding = "border", interpolation: Interpolation = "bilinear"
) -> tuple[Tensor, Tensor]:
    """Look-up at pixel coordinates.

    Args:
        image: (B, C, H, W); half precision is sampled in float32.
        uv: (B, h, w, 2) coordinates in pixels of ``image``.
        padding: what lies outside, the nearest border pixel or zeros.
        interpolation: "bicubic" keeps detail that "bilinear" loses, and may leave the range of the image.

    Returns:
        values (B, C, h, w), and valid (B, 1, h, w) bool: finite and within the outermost pixel centres.
    """
    height, width = image.shape[-2:]
    u, v = uv.unbind(dim=-1)
    low, right, bottom = 0.5 - ROUNDING, width - 0.5 + ROUNDING, height - 0.5 + ROUNDING
    inside = (u >= low) & (u <= right) & (v >= low) & (v <= bottom)  # and so finite
    dtype = torch.promote_types(image.dtype, torch.float32)
    grid = uv.nan_to_num(-NOWHERE, -NOWHERE, -NOWHERE).to(dtype) * (2 / uv.new_tensor([width, height]).to(dtype)) - 1
    values = F.grid_sample(image.to(dtype), grid, mode=interpolation, padding_mode=padding, align_corners=False)
    return values.to(image.dtype), inside[:, None]


def backward_warp(
    image: Tensor, flow: Tensor, padding: Padding = "border", interpolation: Interpolation = "bilinear"
) -> tuple[Tensor, Tensor]:
    """result(p) = image(p + flow(p)).

    Args:
        image: (B, C, H, W).
        flow: (B, 2, H, W) in pixels, on the grid of the result.

    Returns:
        as ``sample``: the result (B, C, H, W) and its valid pixels (B, 1, H, W).
    """
    if flow.shape[1] != 2 or flow.shape[-2:] != image.shape[-2:]:
        raise ValueError(f"flow {tuple(flow.shape)} does not fit the image {tuple(image.shape)}")
    return sample(image, flow.permute(0, 2, 3, 1) + _pixel_centres(flow), padding, interpolation)


def resized_flow(flow: Tensor, size: Sequence[int]) -> Tensor:
    """A flow (B, 2, H, W) in pixels on a grid of another size (h, w), in pixels of that: (B, 2, h, w)."""
    scale = flow.new_tensor([size[1] / flow.shape[-1], size[0] / flow.shape[-2]])[:, None, None]
    return F.interpolate(flow * scale, size=tuple(size), mode="bilinear", align_corners=False)


def carried_along(kept: Tensor, flow: Tensor, visible: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """What is kept of a clip, moved on by one frame.

    Args:
        kept: (C, h, w) of the frame before.
        flow: (2, H, W) in pixels, from this frame to that one; visible: (H, W), the point is seen there too.

    Returns:
        (C, h, w) of this frame, (1, h, w) where it was seen before, and the flow (1, 2, h, w) on its grid.
    """
    size = kept.shape[-2:]
    flow = resized_flow(flow[None], size)
    seen = F.interpolate(visible[None, None].to(kept), size=size, mode="nearest-exact")
    moved, inside = backward_warp(kept[None], flow)
    return moved[0], (seen * inside)[0], flow


def flow_from_depth(depth: Tensor, camera_from: Camera, camera_to: Camera) -> Tensor:
    """Where the still world that ``camera_from`` sees lies in the image of ``camera_to``.

    With disparity 1/z, X_to / z = R ray + t / z: for the sky, at z = inf, only the rotation is left.

    Args:
        depth: (B, H, W) z-depth of ``camera_from``, positive; inf is sky.
        camera_from, camera_to: one camera each, or B.

    Returns:
        flow (B, 2, H, W) in pixels. Points behind ``camera_to``, and those whose depth is not positive,
        get a flow of 1e6 pixels, which every warp here calls not valid.
    """
    if depth.shape[-2:] != (camera_from.height, camera_from.width):
        raise ValueError(f"depth {tuple(depth.shape)} for a camera of {camera_from.height}x{camera_from.width}")
    relative = camera_to.cam_from_world @ camera_from.world_from_cam
    image_from_ray = camera_to.K @ relative[..., :3, :3] @ torch.linalg.inv(camera_from.K)
    shift = torch.einsum("...ij,...j->...i", camera_to.K, relative[..., :3, 3])[..., None, None, :]
    known = depth > 0
    disparity = 1 / torch.where(known, depth, torch.ones_like(depth))
    projected = camera_from.of_pixels(image_from_ray) + disparity[..., None] * shift
    w = projected[..., 2:]
    seen = (w > 1e-6) & known[..., None]
    uv = projected[..., :2] / torch.where(seen, w, torch.ones_like(w))
    flow = torch.where(seen, uv - camera_from.pixel_centres(), torch.full_like(uv, NOWHERE))
    return flow.permute(0, 3, 1, 2)


def warp_by_depth(
    source: Tensor, depth: Tensor, camera: Camera, source_camera: Camera, padding: Padding = "border"
) -> tuple[Tensor, Tensor]:
    """What ``source_camera`` photographed, drawn at ``camera``, whose depth is known.

    Args:
        source: (B, C, H', W'), seen by ``source_camera``; its size may differ from that of ``camera``.
        depth: (B, H, W) z-depth of ``camera``; inf is sky.

    Returns:
        as ``sample``. Occlusion is not tested here; see ``occluded``.
    """
    if source.shape[-2:] != (source_camera.height, source_camera.width):
        raise ValueError(f"source {tuple(source.shape)} for a camera of {source_camera.height}x{source_camera.width}")
    flow = flow_from_depth(depth, camera, source_camera)
    return sample(source, flow.permute(0, 2, 3, 1) + _pixel_centres(flow), padding)


def occluded(flow: Tensor, flow_back: Tensor) -> Tensor:
    """Pixels whose point is hidden in, or outside of, the other image, by forward-backward consistency.

    |f + f_back(p + f)|^2 > 0.01 (|f|^2 + |f_back|^2) + 0.5 (Sundaram, Brox, Keutzer, ECCV 2010).

    Args:
        flow: (B, 2, H, W) from this image to the other.
        flow_back: (B, 2, H, W) from the other image to this one.

    Returns:
        (B, 1, H, W) bool on the grid of ``flow``.
    """
    back, valid = backward_warp(flow_back, flow)
    disagreement = _squared(flow + back)
    return (disagreement > 0.01 * (_squared(flow) + _squared(back)) + 0.5) | ~valid


def visible_motion(
    depth: Tensor, camera: Camera, other_depth: Tensor, other_camera: Camera, tolerance: float = 0.05
) -> tuple[Tensor, Tensor]:
    """Flow of a still world between two views of known depth, and which points both of them see.

    Args:
        depth, other_depth: (H, W) z of the two views in scene units; inf is sky.
        camera, other_camera: of size H x W.
        tolerance: relative depth by which the views may differ on one surface.

    Returns:
        flow (2, H, W) in pixels from the first view to the other, and (H, W) bool.
    """
    flow = flow_from_depth(depth[None], camera, other_camera)[0]
    sky = torch.isinf(depth)
    points = camera.centre + torch.where(sky, 1.0, depth)[..., None] * camera.rays()
    _, z = other_camera.project(points.reshape(-1, 3))
    expected = torch.where(sky, 0.0, 1 / z.reshape(depth.shape))
    # Sampled without interpolation: between two surfaces there is none.
    u, v = (flow.permute(1, 2, 0) + camera.pixel_centres()).unbind(dim=-1)
    inside = (u > 0) & (u < other_camera.width) & (v > 0) & (v < other_camera.height)
    column = u.floor().long().clamp(0, other_camera.width - 1)
    row = v.floor().long().clamp(0, other_camera.height - 1)
    found = 1 / other_depth[row, column]
    same = (found - expected).abs() <= tolerance * expected
    return flow, inside & same


def depth_met(
    depth: Tensor, camera: Camera, other_depth: Tensor, other_camera: Camera, steps: int = 3
) -> tuple[Tensor, Tensor]:
    """Depth of a view where its rays meet the surface that another view saw, pixels being joined by planes.

    What a splat knows of depth is right to a pixel; this is right to where lines between the pixels' disparities run
    (relief mapping, Policarpo, Oliveira & Comba 2005, with the secant method, which is exact on planes after one step).

    Args:
        depth, other_depth: (H, W) z of the two views in scene units; inf is sky.
        camera, other_camera: of size H x W.

    Returns:
        depth (H, W), as it was where the rays meet nothing within `RELIEF` of it, and (H, W) bool, where they do.
    """
    relative = other_camera.cam_from_world @ camera.world_from_cam
    at_infinity = camera.of_pixels(other_camera.K @ relative[:3, :3] @ torch.linalg.inv(camera.K))
    shift = other_camera.K @ relative[:3, 3]
    surface = (1 / other_depth)[None, None]

    def gap(disparity: Tensor) -> Tensor:
        # In homogeneous pixels a ray is a line, and a plane's disparity is linear.
        u, v, w = (at_infinity + disparity[..., None] * shift).unbind(dim=-1)
        w = w.clamp_min(1e-6)
        return sample(surface, torch.stack([u / w, v / w], dim=-1)[None])[0][0, 0] * w - disparity

    start = 1 / depth
    before, found = start, 1.01 * start
    off_before, off = gap(before), gap(found)
    for _ in range(steps):
        slope = (off - off_before) / (found - before)
        next_one = found - off / slope
        next_one = torch.where(torch.isfinite(next_one), next_one, found).clamp(
            (1 - RELIEF) * start, (1 + RELIEF) * start
        )
        before, off_before, found = found, off, next_one
        off = gap(found)
    met = (off.abs() <= MET * found) & (found > 0)
    return torch.where(met, 1 / found, depth), met


def motion_boundary(flow: Tensor) -> Tensor:
    """Pixels where the flow jumps: |grad f|^2 > 0.01 |f|^2 + 0.002 (Sundaram et al. 2010).

    Args:
        flow: (B, 2, H, W) in pixels.

    Returns:
        (B, 1, H, W) bool.
    """
    across = F.pad(flow, (0, 1, 0, 0), mode="replicate").diff(dim=-1)
    down = F.pad(flow, (0, 0, 0, 1), mode="replicate").diff(dim=-2)
    return _squared(across) + _squared(down) > 0.01 * _squared(flow) + 0.002


def _squared(vectors: Tensor) -> Tensor:
    return vectors.square().sum(dim=1, keepdim=True)


def _pixel_centres(flow: Tensor) -> Tensor:
    height, width = flow.shape[-2:]
    v = torch.arange(height, device=flow.device, dtype=flow.dtype) + 0.5
    u = torch.arange(width, device=flow.device, dtype=flow.dtype) + 0.5
    return torch.stack(torch.meshgrid(u, v, indexing="xy"), dim=-1)
