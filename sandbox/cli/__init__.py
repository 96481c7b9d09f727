"""The commands: overrides, grids, progress, and tables in the terminal. Nothing else here knows Hydra."""
