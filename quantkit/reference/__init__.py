"""The PyTorch reference: NeMo's own cache-aware streaming, untouched."""

from quantkit.reference.record import record_reference

__all__ = ["record_reference"]
