"""`primacy up`: the services of one node, or of a whole suite, as supervised processes of this machine."""
