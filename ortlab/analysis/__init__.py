"""What stored observations mean, as pure functions."""
