"""Evaluate the PyTorch model on utterances, by NeMo's own inference."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from quantkit.evaluate.record import Record
from quantkit.evaluate.results import Results
from quantkit.evaluate.system import NemoSystem
from quantkit.evaluate.utterance import Reference
from quantkit.evaluate.words import word_errors
from quantkit.nemo.architecture import geometry
from quantkit.nemo.loading.checkpoint import load_checkpoint
from quantkit.nemo.reference.modes import runner
from quantkit.nemo.reference.record import arrays
from quantkit.nemo.reference.streaming import NemoStreamer
from quantkit.nemo.reference.threads import one_thread
from quantkit.runtime.audio import read_audio
from quantkit.speech.utterances import SuiteUtterance


def open_nemo(system: NemoSystem, root: Path) -> Callable[[SuiteUtterance], Record]:
    """Load the model, to be run in one thread; its arrays for deep utterances are kept in `root`.

    Raises:
        InputError: the checkpoint is wrong, or was not trained with chunks of this length.
    """
    model = load_checkpoint(system.checkpoint)
    rate = int(model.cfg.preprocessor.sample_rate)
    results = Results.of(system, root)
    decode = runner(model, system.mode, system.chunk_ms, full_context=system.full_context)

    def run(heard: SuiteUtterance) -> Record:
        samples = read_audio(heard.audio, rate)
        with one_thread():
            if heard.deep:
                found, reference = _streamed(model, system, samples)
                results.write_reference(heard.digest, reference)
            else:
                found = decode(samples)
        return Record(
            utterance=heard.digest,
            tokens=found.tokens,
            frames=found.token_frames,
            text=found.text,
            words=word_errors(heard.text, found.text) if heard.text else None,
            divergence=None,
        )

    return run


def _streamed(model: Any, system: NemoSystem, samples: Any) -> tuple[Any, Reference]:
    """Only streaming PyTorch is what graphs are compared with deeply."""
    sizes = geometry(model, system.chunk_ms)
    streamer = NemoStreamer(model, sizes.left, sizes.right)
    found = streamer.run(samples)
    return found, Reference(found.tokens, found.token_frames, **arrays(streamer, found))
