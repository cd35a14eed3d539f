"""One photo to nearby views (SynSin): learned features, lifted by learned depth, splatted, and refined."""
