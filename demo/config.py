"""The demo's single configuration file, with its paths made absolute."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent
HERE = ROOT / "demo"


def load() -> dict[str, Any]:
    """Read demo/config.yaml."""
    return yaml.safe_load((HERE / "config.yaml").read_text())


def cache(config: dict[str, Any]) -> Path:
    """The git-ignored folder that holds everything the recipe computes."""
    return ROOT / config["cache"]
