"""The stored events of a trace as arrays: nested, laid into runs and sessions, numbered by node."""
