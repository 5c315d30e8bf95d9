"""The commands of `primacy`, one module each: ask the services, hand the answer to a view."""
