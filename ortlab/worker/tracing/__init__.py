"""Reads a profile of ONNX Runtime, whatever its age and state."""
