"""Training a population of models, in compiled chunks of steps."""
