"""One photo to an endless flight: render, refine, repeat (Liu et al. 2021), with a memory that lasts.

Read `flight.py` first (the loop), then `refiner.py` (what is drawn where the memory has holes),
`photo.py` (what is seen of the photo), `moves.py` (where the camera goes) and `virtual_views.py` (how a
single photo teaches the refiner).
"""
