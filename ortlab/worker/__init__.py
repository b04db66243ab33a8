"""Runs inside the child process, under any Python that has numpy and onnxruntime."""
