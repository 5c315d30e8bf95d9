"""The services of primacy; each folder below is one process, `shared` is what they have in common."""
