"""One member's database: identity, vote, log and state tables in SQLite or MySQL."""
