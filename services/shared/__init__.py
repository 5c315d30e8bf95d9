"""What every service needs; imports no service."""
