"""The verify stage: an artifact's graphs against the recorded reference."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from quantkit.core import shapes
from quantkit.core.arrays import read_npz
from quantkit.core.errors import InputError
from quantkit.core.files import write_json
from quantkit.core.progress import Progress
from quantkit.core.strict_json import read_json
from quantkit.evaluate.parity import ParitySummary, UtteranceParity
from quantkit.evaluate.utterance import Reference, compare_utterance
from quantkit.evaluate.words import word_errors
from quantkit.runtime import trace
from quantkit.runtime.transcriber import Transcriber
from quantkit.speech.manifest import Utterance, read_manifest
from quantkit.speech.reading import read_recording

_TOKENS = shapes.array(shapes.integer())
_ROWS = shapes.array(
    shapes.record(
        {
            "audio": shapes.text,
            "tokens": _TOKENS,
            "token_frames": _TOKENS,
            "text": shapes.text,
        }
    )
)


def verify_model(
    model: Path, reference: Path, manifest: Path, out: Path, progress: Progress
) -> None:
    """Write parity.json: tokens, frames, encodings, distributions and words against NeMo.

    Args:
        model: directory of the graphs and streaming.json.
        reference: what `quantkit.nemo.reference.record` wrote for the same speech.
        manifest: the speech.
        out: directory for parity.json.
        progress: draws it.

    Raises:
        InputError: the graphs cannot be run, or the reference is of other speech.
    """
    utterances = read_manifest(manifest)
    rows = read_json(reference / "reference.json")
    _ROWS(rows, str(reference / "reference.json"))
    if [row["audio"] for row in rows] != [utterance.audio.name for utterance in utterances]:
        raise InputError(f"{reference}: was recorded from other speech than {manifest}")
    artifact = Transcriber.load(model)
    summary = ParitySummary("NeMo cache-aware streaming (PyTorch)", model.name)
    work = zip(utterances, rows, strict=True)
    for index, (utterance, row) in enumerate(progress.track(work, len(rows), "verify")):
        arrays = read_npz(reference / f"{index:05}.npz")
        parity = _utterance(artifact, utterance, row, arrays)
        summary.parities.append(parity)
    write_json(out / "parity.json", summary.as_json())


def _utterance(
    artifact: Transcriber, utterance: Utterance, row: dict[str, Any], arrays: dict[str, Any]
) -> UtteranceParity:
    found = trace.run(artifact, read_recording(utterance.recording, artifact.settings.sample_rate))
    reference = Reference(row["tokens"], row["token_frames"], **arrays)
    try:
        parity = compare_utterance(artifact, found, reference)
    except ValueError as error:
        raise InputError(f"{utterance.audio}: {error}; the graphs are of another model") from error
    if utterance.text is None:
        return parity
    text = artifact.vocabulary.text(token.id for token in found.tokens)
    expected, own = word_errors(utterance.text, row["text"]), word_errors(utterance.text, text)
    return replace(parity, words=(expected.total, own.total, own.words))
