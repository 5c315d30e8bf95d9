"""What the group has agreed upon about instances and clusters, beside who is primary: small tables, one module each."""
