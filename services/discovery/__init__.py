"""Probes servers: observations become topology snapshots."""
