"""Labels to footage: a generator that paints a segmentation video frame by frame and remembers what it painted."""
