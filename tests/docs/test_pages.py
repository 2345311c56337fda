"""What pages say is so: the reference, the worked example, the links, the README's size."""

from __future__ import annotations

import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [*sorted(ROOT.glob("*.md")), *sorted(DOCS.glob("*.md")), ROOT / "demo" / "README.md"]


def test_the_reference_is_that_of_the_schemas() -> None:
    written = runpy.run_path(str(DOCS / "make_reference.py"))["page"]()
    assert (DOCS / "reference.md").read_text() == written, "run python docs/make_reference.py"
    for key in ("chunk_ms", "importance", "megabytes", "long_form_s", "regression"):
        assert f"| `{key}` |" in written


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)]+)\)", text):
        if not re.match(r"https?://|#|mailto:", target):
            assert (page.parent / target.partition("#")[0]).exists(), target


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 150


def test_shipped_names_in_pages_are_shipped() -> None:
    shipped = {path.stem for path in (ROOT / "recipes").rglob("*.yaml")}
    for page in PAGES:
        if page.name != "CHANGELOG.md":
            named = re.findall(r"recipes/(?:suites/)?([\w.-]+)\.yaml", page.read_text())
            assert set(named) <= shipped, page


def model(path: Path) -> None:
    """One product of random numbers, float32."""
    weight = np.random.default_rng(1).standard_normal((64, 32)).astype(np.float32)
    value = ir.Value(name="weight", const_value=ir.tensor(weight, name="weight"))
    x = ir.Value(name="x", shape=ir.Shape([1, 64]), type=ir.TensorType(ir.DataType.FLOAT))
    node = ir.node("MatMul", [x, value], name="product")
    node.outputs[0].name = "y"
    node.outputs[0].shape = ir.Shape([1, 32])
    node.outputs[0].type = ir.TensorType(ir.DataType.FLOAT)
    graph = ir.Graph(
        [x], [node.outputs[0]], nodes=[node], initializers=[value], opset_imports={"": 21}
    )
    ir.save(ir.Model(graph, ir_version=10), path)


@pytest.mark.slow
def test_the_worked_example_is_all_that_a_scheme_takes(tmp_path: Path) -> None:
    page = (DOCS / "extending.md").read_text()
    (change,) = re.findall(r"```diff\n(.*?)```", page, flags=re.DOTALL)
    (program,) = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)
    shutil.copytree(
        ROOT / "quantkit", tmp_path / "quantkit", ignore=shutil.ignore_patterns("__pycache__")
    )
    subprocess.run(["git", "apply", "-"], input=change, text=True, check=True, cwd=tmp_path)
    model(tmp_path / "model.onnx")
    program += "assert [t['bits'] for t in report['tensors']] == [4], report\n"
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, check=True)
    assert (tmp_path / "small.onnx").exists()
