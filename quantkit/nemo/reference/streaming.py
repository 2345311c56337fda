"""Run a NeMo model through NeMo's own streaming buffer, step and decoder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from nemo.collections.asr.models import EncDecRNNTBPEModel
from nemo.collections.asr.parts.submodules.rnnt_greedy_decoding import GreedyBatchedRNNTInfer
from nemo.collections.asr.parts.utils.streaming_utils import CacheAwareStreamingAudioBuffer
from numpy.typing import NDArray

from quantkit.runtime.decoders.greedy import greedy_path

Array = NDArray[np.float32]


@dataclass(frozen=True)
class ReferenceUtterance:
    """What NeMo computed for one utterance."""

    features: Array
    """[frames, mels]: the features of the whole utterance, as NeMo's buffer streams them."""
    chunks: list[Array]
    """Per chunk [frames, d_model]: the encoder's output."""
    tokens: list[int]
    token_frames: list[int]
    """Encoder frame of each token, counted from the start of the utterance."""
    text: str


class NemoStreamer:
    """Streams utterances through a restored model at one context size.

    Every run sets the model's attention context, and nothing else of it, so that others may use the
    model in another context in between.
    """

    def __init__(self, model: EncDecRNNTBPEModel, left: int, right: int) -> None:
        self.model = model
        self.counts_from_start = isinstance(model.decoding.decoding, GreedyBatchedRNNTInfer)
        self._context = [left, right]

    @torch.inference_mode()
    def run(self, samples: Array) -> ReferenceUtterance:
        """Stream one utterance, samples [n] float32 in -1..1 at the model's rate.

        The loop is the one of NeMo's cache-aware streaming inference script; the two calls inside
        are those of `conformer_stream_step`, taken apart to see the encoder's output.
        """
        encoder = self.model.encoder
        encoder.set_default_att_context_size(self._context)
        buffer = CacheAwareStreamingAudioBuffer(self.model)
        features, _, _ = buffer.append_audio(samples, stream_id=-1)
        channel, time, length = encoder.get_initial_cache_state(batch_size=1)
        chunks: list[Array] = []
        token_frames: list[int] = []
        hypotheses = None
        for step, (chunk, chunk_length) in enumerate(buffer):
            encoded, encoded_length, channel, time, length = encoder.cache_aware_stream_step(
                processed_signal=chunk,
                processed_signal_length=chunk_length,
                cache_last_channel=channel,
                cache_last_time=time,
                cache_last_channel_len=length,
                keep_all_outputs=buffer.is_buffer_empty(),
                drop_extra_pre_encoded=0
                if step == 0
                else encoder.streaming_cfg.drop_extra_pre_encoded,
            )
            hypotheses = self.model.decoding.rnnt_decoder_predictions_tensor(
                encoder_output=encoded,
                encoded_lengths=encoded_length,
                return_hypotheses=True,
                partial_hypotheses=hypotheses,
            )
            # The batched search counts frames from the start, the plain one from the chunk.
            added = len(hypotheses[0].y_sequence) - len(token_frames)
            start = 0 if self.counts_from_start else sum(len(done) for done in chunks)
            frames = hypotheses[0].timestamp[len(hypotheses[0].timestamp) - added :]
            token_frames += [start + int(frame) for frame in frames]
            chunks.append(encoded[0, :, : int(encoded_length)].T.numpy())
        tokens = [int(token) for token in hypotheses[0].y_sequence] if hypotheses else []
        text = self.model.tokenizer.ids_to_text(tokens)
        return ReferenceUtterance(features[0].T.numpy(), chunks, tokens, token_frames, text)

    def arrays(self, utterance: ReferenceUtterance) -> dict[str, NDArray[Any]]:
        """What graphs are compared with, of an utterance that was run.

        Returns:
            `encoded` float32 [frames, d_model], `chunks` int64 (the frames of each chunk) and
            `log_probabilities` float32 [decisions, V + 1] along the greedy path.
        """
        empty = np.zeros((0, self.model.joint.encoder_hidden), dtype=np.float32)
        encoded = np.concatenate([empty, *utterance.chunks])
        return {
            "encoded": encoded,
            "chunks": np.array([len(chunk) for chunk in utterance.chunks], dtype=np.int64),
            "log_probabilities": self.log_probabilities(
                encoded, utterance.tokens, utterance.token_frames
            ),
        }

    @torch.inference_mode()
    def log_probabilities(
        self, encoded: Array, tokens: list[int], token_frames: list[int]
    ) -> Array:
        """Teacher-forced log-probabilities of the joint along a greedy path.

        Args:
            encoded: [frames, d_model] encoder output of the whole utterance.
            tokens: of the path.
            token_frames: the frame of each token.

        Returns:
            [frames + len(tokens), V + 1] float32: one row for every decision of the path, in
            order: the tokens of a frame, then its blank.
        """
        decoder, joint = self.model.decoder, self.model.joint
        # Without an embedding of its own, the blank that starts an utterance is a zero vector.
        start = [decoder.blank_idx] if decoder.blank_as_pad else []
        labels = torch.tensor([[*start, *tokens]], dtype=torch.int64)
        predictions, _ = decoder.predict(labels, None, add_sos=not decoder.blank_as_pad)
        rows, states = greedy_path(len(encoded), token_frames)
        frames = joint.project_encoder(torch.from_numpy(encoded)[rows][:, None])
        states_projected = joint.project_prednet(predictions[0, states][:, None])
        logits = joint.joint_after_projection(frames, states_projected)[:, 0, 0]
        return torch.log_softmax(logits, dim=-1).numpy()


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute in one thread: how sums are ordered then depends on nothing but the model.

    Not on the machine, and not on compiled loops that ran before: numba sets OpenMP's number too.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
