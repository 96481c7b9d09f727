"""Algebra, decays, checks of arguments, and random draws that several rules share."""
