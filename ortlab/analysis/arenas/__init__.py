"""Memory over a run: the arena of each provider and who holds its peak."""
