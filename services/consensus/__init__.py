"""Raft log, leases, journal and directory: commands become committed entries and fencing tokens."""

import os

# gRPC reads it when it is imported: else its own lines mix with ours on standard error.
os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
