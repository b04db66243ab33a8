"""Reads an ONNX file without its weights, and says what it holds."""
