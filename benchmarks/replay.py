"""Build the same recipes with two checkouts and compare the artifacts, byte for byte.

`python -m benchmarks.replay OLD NEW --out DIR`, from the root of NEW. A refactor changes no graph,
no token and no number: every file but manifest and card is the same, and so is what the manifest
says of graphs and parity. With `--ignore-metadata` a graph may differ in its metadata_props, which
nothing computes with; it is named all the same.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import onnx
from google.protobuf.message import Message  # type: ignore[import-untyped]

from quantkit.cli.console import say
from quantkit.core.files import sha256_file
from tests.models.shape import SMALL_CHECKPOINT

DEMO = (
    "demo-fp32",
    "demo-int4-gptq",
    "demo-int4-kquant",
    "demo-mixed-budget",
    "demo-int8-dynamic",
)
RANDOM = "nemotron-int4-kquant"
#: What these say is compared by their content, not by their bytes.
_TOLD = ("manifest.json", "README.md")
_METADATA = " (metadata_props alone)"


def build(checkout: Path, name: str, out: Path, *overrides: str) -> Path:
    """The artifact of a recipe of a checkout, by the checkout's own code."""
    artifact = out / name
    command = [sys.executable, "-m", "quantkit.cli", "build", f"recipes/{name}.yaml"]
    command += ["--out", str(artifact), "--store", str(out / "store")]
    for override in overrides:
        command += ["--set", override]
    environment = os.environ | {"PYTHONPATH": str(checkout)}
    done = subprocess.run(command, cwd=checkout, env=environment, check=False)
    if done.returncode not in (0, 1):  # a missed gate is no difference
        sys.exit(f"{checkout}: {name}: the build failed")
    return artifact


def differences(old: Path, new: Path) -> list[str]:
    """What is not the same in two artifacts; graphs that differ in metadata alone say so."""
    names = sorted({path.name for folder in (old, new) for path in folder.iterdir()} - {*_TOLD})
    found = [
        name + (_METADATA if _same_without_metadata(old / name, new / name) else "")
        for name in names
        if _digest(old / name) != _digest(new / name)
    ]
    facts = [json.loads((folder / "manifest.json").read_text()) for folder in (old, new)]
    return found + [f"manifest: {key}" for key in ("graphs", "parity") if _differ(facts, key)]


def _same_without_metadata(old: Path, new: Path) -> bool:
    graphs = [path for path in (old, new) if path.suffix == ".onnx" and path.exists()]
    models = [onnx.load(path, load_external_data=False) for path in graphs]
    for model in models:
        _strip_metadata(model)
    return len(models) == 2 and models[0] == models[1]


def _strip_metadata(message: Message) -> None:
    """Remove metadata_props from a message and all that it holds."""
    if "metadata_props" in message.DESCRIPTOR.fields_by_name:
        message.ClearField("metadata_props")
    for field, value in message.ListFields():
        if field.message_type is not None:
            for inner in value if field.is_repeated else [value]:
                _strip_metadata(inner)


def _digest(path: Path) -> str | None:
    return sha256_file(path) if path.exists() else None


def _differ(facts: list[dict[str, Any]], key: str) -> bool:
    return bool(facts[0].get(key) != facts[1].get(key))


def main() -> None:
    """Build, compare, and exit with 1 where anything differs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("old", type=Path)
    parser.add_argument("new", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--ignore-metadata", action="store_true")
    given = parser.parse_args()
    out = given.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    wrong = 0
    for name in (*DEMO, RANDOM):
        overrides = [f"model.source={SMALL_CHECKPOINT}"] if name == RANDOM else []
        old, new = (
            build(checkout.resolve(), name, out / side, *overrides)
            for side, checkout in (("old", given.old), ("new", given.new))
        )
        found = differences(old, new)
        wrong += sum(not (given.ignore_metadata and d.endswith(_METADATA)) for d in found)
        say(f"{name}: {', '.join(found) or 'the same'}")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
