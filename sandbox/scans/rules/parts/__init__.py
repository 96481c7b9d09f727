"""What several rules share: algebra, decays, checks of arguments, and random draws for examples."""
