"""The replicated state machine: commands in, rows and answers out. No I/O, no clock."""
