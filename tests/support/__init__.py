"""What several tests share: real servers, fakes, waiting."""
