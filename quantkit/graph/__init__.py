"""ONNX files, constants and rewrites, each held to a numerical gate."""
