"""The operator's command line: a client of the four services, nothing more."""
