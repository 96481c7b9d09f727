"""Drivers in XLA: each runs any rule over the tokens of a batch."""
