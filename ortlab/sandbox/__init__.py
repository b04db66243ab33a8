"""Start, limit, watch and classify a child process. Nothing a user supplies is opened elsewhere."""
