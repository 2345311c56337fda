"""What the rooms that read and write ONNX graphs share: files, constants, operator domains."""
