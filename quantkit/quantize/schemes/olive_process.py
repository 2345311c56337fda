"""Run a pass of olive-ai in a process of its own; quantkit compares with Olive and imports none."""

from __future__ import annotations

import importlib.util
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quantkit.core.errors import MissingExtraError, QuantkitError
from quantkit.core.files import write_json
from quantkit.core.processes import run_measured


class OliveError(QuantkitError):
    """An Olive pass failed."""


@dataclass(frozen=True)
class OliveRun:
    """The models that a pass wrote, and what it took (`rss_bytes`: its process's peak)."""

    models: list[Path]
    seconds: float
    rss_bytes: int


def run_olive(
    settings: Mapping[str, Any], source: Mapping[str, Any], models: int, work: Path
) -> OliveRun:
    """Run one pass on a CPU.

    Args:
        settings: of the pass, with its `type`.
        source: Olive's description of the model that goes in.
        models: how many ONNX files have to come out.
        work: existing directory, for this run alone; the models lie in it, sorted by path.

    Raises:
        OliveError: the pass failed; the message ends with Olive's own.
        MissingExtraError: olive-ai is not installed.
    """
    if importlib.util.find_spec("olive") is None:
        raise MissingExtraError("olive-ai", "build")
    cpu = {"device": "cpu", "execution_providers": ["CPUExecutionProvider"]}
    config = {
        "input_model": source,
        "systems": {"local": {"type": "LocalSystem", "accelerators": [cpu]}},
        "host": "local",
        "target": "local",
        "passes": {"pass": settings},
        "no_artifacts": True,
        "cache_dir": str(work / "cache"),
        "output_dir": str(work / "out"),
    }
    write_json(work / "olive.json", config)
    command = [sys.executable, "-m", "olive", "run", "--disable_telemetry"]
    command += ["--config", str(work / "olive.json")]
    # Where there is a GPU, Olive's k-quant goes there and rounds otherwise.
    environment = {"CUDA_VISIBLE_DEVICES": ""}
    finished = run_measured(command, work / "olive.log", environment)
    found = sorted((work / "out").rglob("*.onnx"))
    if finished.code or len(found) != models:
        raise OliveError(
            f"Olive's {settings['type']} ended with {finished.code} and {len(found)} of "
            f"{models} models:\n{finished.tail}"
        )
    # Its files are hard links to the models, and onnx loads no weights that have several links.
    shutil.rmtree(work / "cache")
    return OliveRun(found, finished.seconds, finished.rss_bytes)
