"""Evaluate the PyTorch model on utterances, by NeMo's own inference."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from quantkit.evaluate.record import Record, Reference
from quantkit.evaluate.results import Results
from quantkit.evaluate.system import NemoSystem
from quantkit.evaluate.words import word_errors
from quantkit.nemo.architecture import geometry
from quantkit.nemo.loading.checkpoint import load_checkpoint
from quantkit.nemo.reference.modes import Array, Decoded, runner
from quantkit.nemo.reference.streaming import NemoStreamer, one_thread
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

    def run_deep(utterance: SuiteUtterance, samples: Array) -> Decoded:
        """Only streaming PyTorch is what graphs are compared with deeply."""
        sizes = geometry(model, system.chunk_ms)
        streamer = NemoStreamer(model, sizes.left, sizes.right)
        said = streamer.run(samples)
        arrays = streamer.arrays(said)
        reference = Reference(said.tokens, said.token_frames, **arrays)
        results.write_reference(utterance.digest, reference)
        return Decoded(said.tokens, said.token_frames, said.text)

    def run(utterance: SuiteUtterance) -> Record:
        samples = read_audio(utterance.audio, rate)
        with one_thread():
            said = run_deep(utterance, samples) if utterance.deep else decode(samples)
        return Record(
            utterance=utterance.digest,
            tokens=said.tokens,
            frames=said.token_frames,
            text=said.text,
            words=None if utterance.text is None else word_errors(utterance.text, said.text),
            divergence=None,
        )

    return run
