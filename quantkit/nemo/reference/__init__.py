"""The PyTorch reference: NeMo's own inference, untouched."""
