"""Python code that makes packages look as if they were not installed."""

_FINDER = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {names!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Blocked())
"""

BUILD_EXTRA = [
    "torch",
    "nemo",
    "onnx",
    "onnx_ir",
    "onnxscript",
    "olive",
    "pydantic",
    "ruamel",
    "filelock",
    "scipy",
    "numba",
]


def without(names: list[str]) -> str:
    """Statements for the top of a script."""
    return _FINDER.format(names=names)
