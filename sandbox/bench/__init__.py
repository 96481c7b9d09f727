"""Benchmarks of scans, side by side with softmax attention and with the code of others."""
