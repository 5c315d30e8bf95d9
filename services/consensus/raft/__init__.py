"""The Raft core: values in, values out (sections 4 to 9). No I/O, no clock, no chance of its own."""
