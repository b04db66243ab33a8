"""What a trace says: time by node, operator, shape and provider, and its summary."""
