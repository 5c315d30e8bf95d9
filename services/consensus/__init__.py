"""Raft log, leases, journal and directory: commands become committed entries and fencing tokens."""
