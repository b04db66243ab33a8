"""Makes inputs in range for a model, or reads the user's own."""
