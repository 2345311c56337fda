"""The PyTorch model in each of NeMo's modes, so that what streaming costs can be told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from nemo.collections.asr.models import EncDecRNNTBPEModel
from numpy.typing import NDArray

from quantkit.core.errors import InputError
from quantkit.nemo.architecture import geometry
from quantkit.nemo.reference.streaming import NemoStreamer

Array = NDArray[np.float32]
Mode = Literal["streaming", "chunked", "offline"]

#: Every frame sees all others.
FULL_CONTEXT = [-1, -1]


@dataclass(frozen=True)
class Decoded:
    """What NeMo said: the tokens, the encoder frame of each from the start, and the text."""

    tokens: list[int]
    token_frames: list[int]
    text: str


Run = Callable[[Array], Decoded]
"""Decodes one utterance, samples float32 [n] in -1..1 at the model's rate."""


def runner(
    model: EncDecRNNTBPEModel, mode: Mode, chunk_ms: int | None, *, full_context: bool = False
) -> Run:
    """How NeMo decodes an utterance in a mode.

    - streaming: cache-aware, in chunks of `chunk_ms`; see `NemoStreamer`.
    - offline: the whole utterance at once in the attention context that the checkpoint names first,
      by the calls of `transcribe` (which itself would leave the model in training mode). The
      mask is made of chunks, so the encoder's output is streaming's at that chunk length. Only the
      last chunk may differ, by up to 1: the whole-file pass rounds the number of frames up,
      streaming drops what is left when it is less than an encoder frame.
    - chunked: windows of `chunk_ms`, each decoded offline as an utterance of its own, as by a user
      who has no caches; the tokens are joined. NeMo's own classes for windows scale each window's
      features to mean 0 and variance 1, which models that can be streamed were not trained with.

    Each run sets the encoder's attention context and leaves it so. Runs of one model may take
    turns, whatever their modes; they may not overlap in threads.

    Args:
        model: restored, in evaluation mode, so that NeMo adds no dither.
        mode: see above.
        chunk_ms: length of chunks or windows; None offline.
        full_context: offline and chunked, let every frame see the whole utterance or window.

    Raises:
        InputError: the model takes no such chunks, or the mode no such option.
    """
    if (chunk_ms is None) != (mode == "offline"):
        raise InputError(
            f"chunk_ms: found {chunk_ms} for mode {mode}; accepted: none offline, else a length"
        )
    if full_context and mode == "streaming":
        raise InputError("full_context: accepted in the modes offline and chunked, not streaming")
    if mode == "streaming":
        sizes = geometry(model, chunk_ms)
        decode = _streamed(NemoStreamer(model, sizes.left, sizes.right))
    else:
        own = list(model.encoder.att_context_size_all[0])
        decode = _whole(model, FULL_CONTEXT if full_context else own)
    if mode == "chunked":
        decode = _windowed(model, decode, chunk_ms)
    # NeMo cannot compute features of no samples.
    return lambda samples: decode(samples) if len(samples) else Decoded([], [], "")


def _streamed(streamer: NemoStreamer) -> Run:
    def run(samples: Array) -> Decoded:
        found = streamer.run(samples)
        return Decoded(found.tokens, found.token_frames, found.text)

    return run


def _whole(model: EncDecRNNTBPEModel, context: list[int]) -> Run:
    @torch.inference_mode()
    def run(samples: Array) -> Decoded:
        model.encoder.att_context_size = context
        encoded, lengths = model(
            input_signal=torch.from_numpy(samples)[None],
            input_signal_length=torch.tensor([len(samples)]),
        )
        [found] = model.decoding.rnnt_decoder_predictions_tensor(
            encoder_output=encoded, encoded_lengths=lengths, return_hypotheses=True
        )
        tokens = [int(token) for token in found.y_sequence]
        frames = [int(frame) for frame in found.timestamp]
        return Decoded(tokens, frames, model.tokenizer.ids_to_text(tokens))

    return run


def _windowed(model: EncDecRNNTBPEModel, decode: Run, window_ms: int) -> Run:
    settings = model.cfg.preprocessor
    frame_ms = round(1000 * settings.window_stride * model.encoder.subsampling_factor)
    if window_ms <= 0 or window_ms % frame_ms:
        raise InputError(
            f"chunk_ms: found {window_ms}; accepted in mode chunked: multiples of {frame_ms}, the "
            "length of an encoder frame"
        )
    size, frames = window_ms * int(settings.sample_rate) // 1000, window_ms // frame_ms

    def run(samples: Array) -> Decoded:
        found = [decode(samples[start : start + size]) for start in range(0, len(samples), size)]
        tokens = [token for window in found for token in window.tokens]
        token_frames = [
            index * frames + frame
            for index, window in enumerate(found)
            for frame in window.token_frames
        ]
        return Decoded(tokens, token_frames, model.tokenizer.ids_to_text(tokens))

    return run
