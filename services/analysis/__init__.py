"""Detects failures: snapshots become findings."""

import services.shared.runtime  # noqa: F401  Before gRPC is imported.
