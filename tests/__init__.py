"""Tests of primacy and what they stand on."""
