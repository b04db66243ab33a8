"""Two profiles or studies against each other."""
