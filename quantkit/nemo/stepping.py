"""A NeMo checkpoint in PyTorch, streamed by NeMo itself."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from quantkit.core.errors import InputError, SettingError
from quantkit.nemo.architecture import geometry
from quantkit.nemo.loading.checkpoint import load_checkpoint
from quantkit.nemo.reference.streaming import NemoStreamer
from quantkit.runtime.audio import read_audio
from quantkit.runtime.transcriber import TimedToken, Transcript

Noise = Callable[[np.random.Generator, tuple[int, ...]], NDArray[np.float32]]
"""Features of a shape that look like those of speech."""


class NemoModel:
    """NeMo's cache-aware streaming, untouched, in float32."""

    def __init__(self, checkpoint: Path, threads: int, chunk_ms: int, noise: Noise) -> None:
        """Load it; steps see features of `noise`.

        Raises:
            InputError: it is no streaming transducer, or not one for such chunks.
        """
        torch.set_num_threads(threads)
        self._model = load_checkpoint(checkpoint)
        try:
            sizes = geometry(self._model, chunk_ms)
        except SettingError as error:
            raise InputError(f"{checkpoint}: --chunk-ms for {error}") from error
        self.chunk_s = chunk_ms / 1000
        self._frame_s = self.chunk_s / sizes.steps
        self._streamer = NemoStreamer(self._model, sizes.left, sizes.right)
        encoder = self._model.encoder
        encoder.set_default_att_context_size([sizes.left, sizes.right])
        self._caches = encoder.get_initial_cache_state(batch_size=1)
        streaming = encoder.streaming_cfg
        # The later of the two sizes: a stream's first chunk is shorter.
        self._frames = streaming.pre_encode_cache_size[1] + streaming.chunk_size[1]
        self._noise, self._generator = noise, np.random.default_rng(0)

    @torch.inference_mode()
    def step(self) -> float:
        encoder = self._model.encoder
        shape = (1, self._model.cfg.preprocessor.features, self._frames)
        features = torch.from_numpy(self._noise(self._generator, shape))
        channel, time_, length = self._caches
        began = time.perf_counter()
        _, _, *caches = encoder.cache_aware_stream_step(
            processed_signal=features,
            processed_signal_length=torch.tensor([self._frames]),
            cache_last_channel=channel,
            cache_last_time=time_,
            cache_last_channel_len=length,
            keep_all_outputs=False,
            drop_extra_pre_encoded=encoder.streaming_cfg.drop_extra_pre_encoded,
        )
        taken = time.perf_counter() - began
        self._caches = tuple(caches)
        return taken

    def profile(self) -> None:
        return None

    def transcribe(self, audio: Path) -> Transcript:
        rate = int(self._model.cfg.preprocessor.sample_rate)
        began = time.perf_counter()
        samples = read_audio(audio, rate)
        found = self._streamer.run(samples)
        pieces = self._model.tokenizer.ids_to_tokens(found.tokens)
        tokens = tuple(
            TimedToken(token, piece, frame, frame * self._frame_s)
            for token, piece, frame in zip(found.tokens, pieces, found.token_frames, strict=True)
        )
        elapsed_s = time.perf_counter() - began
        return Transcript(found.text, tokens, len(samples) / rate, elapsed_s)
