"""Probes servers: observations become topology snapshots."""

import services.shared.runtime  # noqa: F401  Before gRPC is imported.
