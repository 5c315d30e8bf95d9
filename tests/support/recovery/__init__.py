"""What the tests of recovery share: topologies as values, and fakes of its ports."""
