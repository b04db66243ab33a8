"""Device time of nodes: which event of a device belongs to which node."""
