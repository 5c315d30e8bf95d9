"""What members say to each other over gRPC: streams, snapshots, forwarded calls."""
