"""Findings: what stands out in a study, with its evidence and what to try."""
