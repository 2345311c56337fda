"""Verification: an artifact's graphs and the PyTorch model, evaluated on the same utterances."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from quantkit.core.progress import Progress
from quantkit.evaluate.evaluation import evaluate
from quantkit.evaluate.gather import gather_manifest
from quantkit.evaluate.parity import summarize
from quantkit.evaluate.system import GraphSystem, NemoSystem
from quantkit.evaluate.workers import Workers
from quantkit.runtime.settings import StreamingSettings
from quantkit.speech.utterances import SuiteUtterance

REFERENCE = "NeMo cache-aware streaming (PyTorch)"


def verify_on_manifest(
    model: Path, pytorch: NemoSystem, manifest: Path, store: Path, progress: Progress
) -> dict[str, Any]:
    """The parity of graphs on every utterance of a manifest, all compared deeply.

    Args:
        model: directory of the graphs and streaming.json.
        pytorch: the checkpoint, streamed in chunks of the same length.
        manifest: the speech.
        store: where decoded speech and what systems said of it are kept and found again.
        progress: draws it.

    Returns:
        The content of parity.json.

    Raises:
        InputError: the graphs cannot be run or are of another model, or a recording is wrong.
    """
    rate = StreamingSettings.load(model).sample_rate
    utterances = gather_manifest(manifest, store / "speech", rate, progress)
    return verify(model, pytorch, utterances, store, progress)


def verify(
    model: Path,
    pytorch: NemoSystem,
    utterances: Sequence[SuiteUtterance],
    store: Path,
    progress: Progress,
) -> dict[str, Any]:
    """The same on utterances that lie decoded in the store; distributions of the deep ones."""
    graphs = GraphSystem.of("graphs", model, pytorch)
    results = store / "results"
    records = evaluate([pytorch, graphs], utterances, results, Workers(), progress)
    return summarize((REFERENCE, model.name), records[pytorch.name], records[graphs.name])
