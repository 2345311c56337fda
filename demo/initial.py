"""The checkpoint that training starts from: the demo model of an earlier commit."""

from __future__ import annotations

import hashlib
import io
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from demo.config import ROOT
from demo.model import TOKENIZER_FILES


def initial_checkpoint(config: dict[str, Any], cache: Path) -> Path:
    """The `.nemo` file, out of this repository's history.

    Raises ValueError when its digest is not the one the configuration names.
    """
    initial = config["training"]["initial"]
    path = cache / f"initial-{initial['sha256'][:12]}.nemo"
    if not path.exists():
        command = ["git", "show", f"{initial['commit']}:demo/demo.nemo"]
        shown = subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
        partial = path.with_suffix(".part")
        partial.write_bytes(shown.stdout)
        partial.rename(path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if digest != initial["sha256"]:
        raise ValueError(
            f"{path}: sha256 {digest}, but training.initial.sha256 of demo/config.yaml is "
            f"{initial['sha256']}"
        )
    return path


def extract_tokenizer(checkpoint: Path, folder: Path) -> None:
    """Write tokenizer.model, tokenizer.vocab and vocab.txt of a checkpoint into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in TOKENIZER_FILES.values():
        (folder / name).write_bytes(_member(checkpoint, name))


def read_weights(checkpoint: Path) -> dict[str, Tensor]:
    """The weights of a checkpoint, in float32."""
    buffer = io.BytesIO(_member(checkpoint, "model_weights.ckpt"))
    weights = torch.load(buffer, map_location="cpu", weights_only=True)
    return {name: value.float() for name, value in weights.items()}


def _member(checkpoint: Path, name: str) -> bytes:
    with tarfile.open(checkpoint) as archive:
        return archive.extractfile(name).read()
