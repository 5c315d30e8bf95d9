"""The topology as values: what three services and the command line speak about."""
