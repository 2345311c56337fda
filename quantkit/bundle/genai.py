"""What onnxruntime-genai loads as a `nemotron_speech` model.

Its front end hands over whole chunks with `pre_encode_cache_size` mel frames before each. With 16
of them a chunk holds the window that the encoder sees, so nothing has to be carried from chunk to
chunk; the last 7 frames are not used before the next chunk brings them again.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnx_ir as ir

from quantkit.bundle.encoder import CacheShapes, attach, open_encoder
from quantkit.bundle.graphs import FLOAT, INT64, PARTS, rewire_decoder, write_graphs
from quantkit.bundle.rewiring import Rewiring
from quantkit.core.files import write_json
from quantkit.graph.files import load_model
from quantkit.runtime.settings import StreamingSettings
from quantkit.runtime.tokens import BLANK, SPACE, UNKNOWN, Vocabulary

FILES = {part: f"{part}.genai.onnx" for part in PARTS}
CONFIG = "genai_config.json"


def write_genai(artifact: Path, settings: StreamingSettings, out: Path) -> None:
    """Write three graphs over the artifact's weights, the configuration and the tokenizer."""
    write_graphs(artifact, settings, out, FILES, (_encoder, _decoder, _joiner))
    write_json(out / CONFIG, genai_config(settings))
    for name, content in tokenizer_files(Vocabulary.load(artifact)).items():
        write_json(out / name, content)


def _encoder(path: Path, settings: StreamingSettings) -> ir.Model:
    wiring, caches = open_encoder(path), CacheShapes.of(settings)
    rows = settings.leading_frames + settings.chunk_frames
    audio = wiring.input("audio_signal", FLOAT, [1, rows, settings.mel.n_mels])
    attention = wiring.input("cache_last_channel", FLOAT, [1, *caches.attention])
    convolution = wiring.input("cache_last_time", FLOAT, [1, *caches.convolution])
    length = wiring.input("cache_last_channel_len", INT64, [1])
    window = wiring.rows(audio, 0, settings.window_frames)
    step = attach(wiring, settings, window, attention, convolution, length)
    steps, dim = settings.chunk_encoder_frames, settings.encoder.dim
    wiring.output("outputs", step.encoded, FLOAT, [1, steps, dim])
    wiring.output("encoded_lengths", step.encoded_length, INT64, [1])
    wiring.output("cache_last_channel_next", step.attention, FLOAT, [1, *caches.attention])
    wiring.output("cache_last_time_next", step.convolution, FLOAT, [1, *caches.convolution])
    wiring.output("cache_last_channel_len_next", step.cache_length, INT64, [1])
    return wiring.finish()


def _decoder(path: Path, settings: StreamingSettings) -> ir.Model:
    return rewire_decoder(path, settings, 1, lengths=False)


def _joiner(path: Path, settings: StreamingSettings) -> ir.Model:
    wiring = Rewiring(load_model(path), str(path))
    dim, hidden = settings.encoder.dim, settings.predictor.hidden
    graph = settings.contract.joint
    wiring.feed(graph.input("encoded"), wiring.input("encoder_output", FLOAT, [1, 1, dim]))
    wiring.feed(graph.input("prediction"), wiring.input("decoder_output", FLOAT, [1, 1, hidden]))
    logits = [1, 1, settings.vocabulary_size + 1]
    wiring.output("joint_output", wiring.take(graph.output("logits")), FLOAT, logits)
    return wiring.finish()


def genai_config(settings: StreamingSettings) -> dict[str, Any]:
    """The content of genai_config.json; the runtime refuses keys that it does not know."""
    caches, mel = CacheShapes.of(settings), settings.mel
    layers, left_context, dim = caches.attention
    following = ("cache_last_channel_next", "cache_last_time_next", "cache_last_channel_len_next")
    states = [name.removesuffix("_next") for name in following]
    return {
        "model": {
            "type": "nemotron_speech",
            "vocab_size": settings.vocabulary_size + 1,
            "num_mels": mel.n_mels,
            "fft_size": mel.n_fft,
            "hop_length": mel.hop_length,
            "win_length": mel.window_length,
            "preemph": mel.preemphasis,
            "log_eps": mel.log_guard,
            "subsampling_factor": settings.subsampling_factor,
            # Of the caches: keys and values, of the left context and of the chunk.
            "left_context": left_context,
            "conv_context": settings.encoder.conv_cache,
            "pre_encode_cache_size": settings.leading_frames,
            "sample_rate": settings.sample_rate,
            "chunk_samples": settings.chunk_frames * mel.hop_length,
            "blank_id": settings.blank_id,
            "max_symbols_per_step": settings.max_symbols,
            "encoder": {
                "filename": FILES["encoder"],
                "session_options": {"log_id": "encoder"},
                "hidden_size": dim,
                "num_hidden_layers": layers,
                "inputs": {
                    "audio_features": "audio_signal",
                    **{name: name for name in states},
                },
                "outputs": {
                    "encoder_outputs": "outputs",
                    "output_lengths": "encoded_lengths",
                    **{name: name for name in following},
                },
            },
            "decoder": {
                "filename": FILES["decoder"],
                "session_options": _small("decoder"),
                "hidden_size": settings.predictor.hidden,
                "num_hidden_layers": settings.predictor.layers,
                "inputs": {
                    "targets": "targets",
                    "lstm_hidden_state": "h_in",
                    "lstm_cell_state": "c_in",
                },
                "outputs": {
                    "outputs": "decoder_output",
                    "lstm_hidden_state": "h_out",
                    "lstm_cell_state": "c_out",
                },
            },
            "joiner": {
                "filename": FILES["joiner"],
                "session_options": _small("joiner"),
                "inputs": {
                    "encoder_outputs": "encoder_output",
                    "decoder_outputs": "decoder_output",
                },
                "outputs": {"logits": "joint_output"},
            },
        },
    }


def _small(name: str) -> dict[str, Any]:
    """Options of a graph that is too small for threads, which would only disturb the encoder's."""
    return {"log_id": name, "intra_op_num_threads": 1}


def tokenizer_files(vocabulary: Vocabulary) -> dict[str, Any]:
    """Contents of tokenizer.json and tokenizer_config.json, by file name.

    The runtime only turns ids into text. It takes a unigram model, whose scores here keep the
    order of the ids; the transducer's blank is its last piece.
    """
    (unknown,) = UNKNOWN
    pieces = [
        [piece, 0.0 if piece == unknown else -float(index)]
        for index, piece in enumerate(vocabulary.pieces)
    ]
    space = {"type": "Replace", "pattern": {"String": " "}, "content": SPACE}
    known = unknown in vocabulary.pieces
    return {
        "tokenizer.json": {
            "version": "1.0",
            "truncation": None,
            "padding": None,
            "added_tokens": [],
            "normalizer": space,
            "pre_tokenizer": None,
            "post_processor": None,
            "decoder": None,
            "model": {
                "type": "Unigram",
                "unk_id": vocabulary.pieces.index(unknown) if known else None,
                "vocab": [*pieces, [BLANK, 0.0]],
                "byte_fallback": False,
            },
        },
        "tokenizer_config.json": {
            "tokenizer_class": "T5Tokenizer",
            "unk_token": unknown,
            "model_max_length": 1024,
        },
    }
