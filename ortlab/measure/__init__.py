"""Turns, stop rules and verdicts: who is measured when, and what the difference is worth."""
