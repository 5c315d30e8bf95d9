"""Migrations of discovery's store."""
