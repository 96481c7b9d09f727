"""Algebra and random draws that several rules share."""
