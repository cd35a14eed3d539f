"""Labels to footage, frame by frame, remembering what was painted; and clips to the same shot in another light."""
