"""What a photo must be asked before it can be flown into: how far away things are."""
