"""What callers see: the servicers, and the values of consensus as proto messages."""
