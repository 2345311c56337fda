"""Token-level parity of an artifact with the PyTorch reference."""

from quantkit.verify.model import verify_model

__all__ = ["verify_model"]
