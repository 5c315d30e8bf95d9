"""What every process needs: settings, errors, gRPC servers and channels, logs, clocks."""
