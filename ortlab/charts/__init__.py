"""Figures: a small record in, a Plotly figure out."""
