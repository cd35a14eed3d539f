"""How good the jobs are, measured beside baselines in one run: what is measured, and how it is shown."""
