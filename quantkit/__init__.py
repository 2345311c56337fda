"""Turn NeMo streaming transducers into small, fast, proven ONNX graphs."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from quantkit.runtime.transcriber import Transcriber

__version__ = "0.1.0"

__all__ = ["Transcriber", "__version__"]

#: The public names and the modules that define them, imported when they are first asked for.
_PUBLIC = {"Transcriber": "quantkit.runtime.transcriber"}


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'quantkit' has no attribute {name!r}")
    return getattr(import_module(_PUBLIC[name]), name)
