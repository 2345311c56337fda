"""Turn NeMo streaming transducers into small, fast, proven ONNX graphs."""

__version__ = "0.1.0"
