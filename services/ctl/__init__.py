"""The operator's command line: a client of the four services, nothing more."""

import services.shared.runtime  # noqa: F401  Before gRPC is imported.
