"""Topology values <-> proto messages, both directions, pure; a module for each noun.

What comes from a request is parsed and refused with the field's path; what comes from another service of ours is
trusted to be well-formed, and unknown enum values become unknown, never fine.
"""
