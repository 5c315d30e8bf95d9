"""Detects failures: snapshots become findings."""
