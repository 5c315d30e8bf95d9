"""Raft log, leases, journal and directory: commands become committed entries and fencing tokens."""

import services.shared.runtime  # noqa: F401  Before gRPC is imported.
