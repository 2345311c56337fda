import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow

#: Half a second or more each; none of them reads a recipe.
HEAVY = {"numba", "onnx", "onnx_ir", "onnxruntime", "scipy", "sympy", "torch"}
PROGRAM = "import sys, quantkit.recipe.load, quantkit.recipe.suite_file; print(*sys.modules)"


def test_recipes_are_read_without_the_libraries_that_build_them() -> None:
    command = [sys.executable, "-c", PROGRAM]
    modules = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    assert "quantkit.recipe.load" in modules
    assert not HEAVY & {name.partition(".")[0] for name in modules}
