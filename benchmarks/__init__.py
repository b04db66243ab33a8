"""Honest benchmarks: each script states what it measured beside what it must reach."""
