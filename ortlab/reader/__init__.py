"""The program that reads a trace in a child process: what it observed, and what that means.

It joins two parts that otherwise never meet: `ortlab.worker.traces`, which turns a hostile
file into stored events, and `ortlab.analysis`, which turns those into a summary. So no
process that a person waits on, and none that lives long, ever holds the events of a trace.
"""
