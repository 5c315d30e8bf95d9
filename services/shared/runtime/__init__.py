"""What every process needs: settings, errors, gRPC servers and channels, logs, clocks.

Every service imports this package before anything else.
"""

import os

# gRPC reads it when it is imported: else its own lines mix with ours on standard error.
os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
