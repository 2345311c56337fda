"""Operator domains outside ONNX's own."""

# ONNX Runtime's contributed operators, in every build of it.
MICROSOFT = "com.microsoft"
