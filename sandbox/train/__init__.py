"""Training a population of models, in compiled segments of steps."""
