"""What the lesson measures: each module writes some of the tables in `data/`."""
