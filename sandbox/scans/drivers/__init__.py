"""Drivers in XLA: each runs any rule over time, for every sequence and head of a batch."""
