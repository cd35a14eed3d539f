"""Render, refine, repeat: the heart that the three methods share.

It needs torch and kornia only (and safetensors, to keep models).

Read the modules in this order; each uses only those above it:

1. ``camera``: the one pinhole camera and its conventions.
2. ``points``, ``splat``: coloured points, and the differentiable renderer that draws them.
3. ``fill``, ``memory``: the world as it was shown so far, written once and rendered from anywhere.
4. ``warp``: moving an image by flow, or by depth and two cameras, and what becomes occluded.
5. ``spade``: the refiner, a generator whose every normalisation is steered by the rendered image.
6. ``unet``: dense prediction, used for depth from one image.
7. ``discriminator``, ``losses``: what the refiner is trained against.
8. ``metrics``: how the result is measured.
9. ``pretrained``, ``precision``: models in files, and half precision where the hardware has it.

Importing the package itself imports none of them.
"""
