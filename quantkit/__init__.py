"""Turn NeMo streaming transducers into small, fast, proven ONNX graphs.

    from quantkit import Transcriber, build, compare, quantize

`Transcriber` needs the runtime alone; the others need the extra `build`, `compare` also `eval`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from quantkit.build.api import build as build
    from quantkit.build.api import compare as compare
    from quantkit.build.api import quantize as quantize
    from quantkit.runtime.transcriber import Transcriber

__version__ = "0.1.0"

__all__ = ["Transcriber", "__version__", "build", "compare", "quantize"]

#: The public names, imported when they are first asked for. `build` and `quantize` are packages
#: that may be called.
_PUBLIC = {
    "Transcriber": ("quantkit.runtime.transcriber", "Transcriber"),
    "compare": ("quantkit.build.api", "compare"),
}


def __getattr__(name: str) -> Any:
    if name in {"build", "quantize"}:
        return import_module(f"quantkit.{name}")
    if name not in _PUBLIC:
        raise AttributeError(f"module 'quantkit' has no attribute {name!r}")
    module, attribute = _PUBLIC[name]
    return getattr(import_module(module), attribute)
