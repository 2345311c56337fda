"""NeMo -> ONNX. With `reference`, the only room that imports torch and nemo."""

from quantkit.export.model import export_checkpoint

__all__ = ["export_checkpoint"]
