"""Records in, Plotly figures out. Nothing here computes what a number means."""
