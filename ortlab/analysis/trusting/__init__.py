"""How far a profile can be believed, what may be claimed of it, and what the profiler cost."""
