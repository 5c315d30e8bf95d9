"""Plans and runs failovers: findings become plans, plans become recoveries."""

import services.shared.runtime  # noqa: F401  Before gRPC is imported.
