"""Spans along time, in a file that answers any window at once."""
