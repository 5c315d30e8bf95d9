"""Benchmarks: `python -m benchmarks.<name>` prints one JSON object per metric and line; never timed tests."""
