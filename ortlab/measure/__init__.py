"""Gives the workers turns, decides when to stop, and judges the difference."""
