"""Measurements: each runs as `python -m benchmarks.NAME`, says on which CPU it ran, and ships with no wheel."""
