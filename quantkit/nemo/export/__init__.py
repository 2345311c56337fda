"""NeMo modules as ONNX graphs."""
