"""Benchmarks of scans and of training steps, side by side with the code of others."""
