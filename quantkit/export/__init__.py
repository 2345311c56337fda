"""NeMo -> ONNX. With `reference`, the only room that imports torch and nemo."""

import logging

# NeMo's telemetry client announces at import that it is switched off.
logging.getLogger("nv_one_logger").setLevel(logging.ERROR)

from quantkit.export.model import export_checkpoint  # noqa: E402  (after the line above)

__all__ = ["export_checkpoint"]
