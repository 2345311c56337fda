"""Evaluate graphs of ONNX on utterances."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from quantkit.core.errors import InputError
from quantkit.evaluate.parity import compare_utterance
from quantkit.evaluate.record import Divergence, Record, Reference
from quantkit.evaluate.results import Results
from quantkit.evaluate.system import GraphSystem
from quantkit.evaluate.words import word_errors
from quantkit.runtime import trace
from quantkit.runtime.audio import read_audio
from quantkit.runtime.trace import CandidateUtterance
from quantkit.runtime.transcriber import Transcriber
from quantkit.speech.utterances import SuiteUtterance


def open_graphs(system: GraphSystem, root: Path) -> Callable[[SuiteUtterance], Record]:
    """Load graphs, to be run in one thread; what PyTorch said of deep utterances is in `root`.

    Raises:
        InputError: a file of the model is missing or damaged.
    """
    artifact = Transcriber.load(system.model, threads=1)
    references = Results.of(system.reference, root)

    def run(utterance: SuiteUtterance) -> Record:
        candidate = trace.run(artifact, read_audio(utterance.audio, artifact.settings.sample_rate))
        text = artifact.vocabulary.text(token.id for token in candidate.tokens)
        divergence = None
        if utterance.deep:
            reference = references.reference(utterance.digest)
            divergence = _divergence(system, artifact, candidate, reference)
        return Record(
            utterance=utterance.digest,
            tokens=[token.id for token in candidate.tokens],
            frames=[token.frame for token in candidate.tokens],
            text=text,
            words=None if utterance.text is None else word_errors(utterance.text, text),
            divergence=divergence,
        )

    return run


def _divergence(
    system: GraphSystem,
    artifact: Transcriber,
    candidate: CandidateUtterance,
    reference: Reference,
) -> Divergence:
    try:
        divergence = compare_utterance(artifact, candidate, reference)
    except ValueError as error:
        raise InputError(
            f"{system.model}: {error}; accepted: graphs of {system.reference.checkpoint} for "
            f"chunks of {system.reference.chunk_ms} ms"
        ) from error
    if not np.isfinite([*divergence.kl, *divergence.encoder_errors]).all():
        raise InputError(
            f"{system.model}: the graphs compute values that are no finite numbers; build them "
            "again with another scheme"
        )
    return divergence
