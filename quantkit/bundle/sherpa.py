"""What sherpa-onnx loads as an online NeMo transducer.

Inputs and outputs go by their place, sizes by the encoder's metadata. Its front end hands over
windows of mel frames with nothing before the first, so the 16 frames before a window are carried
in the second cache, whose size is free: caches of the convolutions, then frames.
"""

from __future__ import annotations

from pathlib import Path

import onnx_ir as ir

from quantkit.bundle.encoder import CacheShapes, attach, open_encoder
from quantkit.bundle.graphs import FLOAT, INT64, PARTS, rewire_decoder, write_graphs
from quantkit.bundle.rewiring import Rewiring, Sizes
from quantkit.graph.files import load_model
from quantkit.runtime.settings import StreamingSettings

FILES = {part: f"{part}.sherpa.onnx" for part in PARTS}
#: The least energy that kaldi's front end tells from silence: the precision of float32.
FLOOR = 2.0**-23
#: The batch: streams that are decoded together.
N = "batch"


def write_sherpa(artifact: Path, settings: StreamingSettings, out: Path) -> None:
    """Write three graphs over the artifact's weights; its tokens.txt is what the runtime reads."""
    write_graphs(artifact, settings, out, FILES, (_encoder, _decoder, _joiner))


def metadata(settings: StreamingSettings) -> dict[str, str]:
    """What the runtime reads of the encoder besides its graph."""
    sizes = {
        "vocab_size": settings.vocabulary_size,
        "window_size": settings.chunk_frames,
        "chunk_shift": settings.chunk_frames,
        "subsampling_factor": settings.subsampling_factor,
        "pred_rnn_layers": settings.predictor.layers,
        "pred_hidden": settings.predictor.hidden,
        "feat_dim": settings.mel.n_mels,
    }
    attention = CacheShapes.of(settings).attention
    for kind, shape in (("channel", attention), ("time", (1, 1, _carried(settings)))):
        sizes |= {f"cache_last_{kind}_dim{axis + 1}": size for axis, size in enumerate(shape)}
    texts = {key: str(value) for key, value in sizes.items()}
    return texts | {"normalize_type": "", "model_type": "EncDecRNNTBPEModel"}


def _carried(settings: StreamingSettings) -> int:
    """Numbers in the second cache."""
    layers, dim, frames = CacheShapes.of(settings).convolution
    return layers * dim * frames + settings.leading_frames * settings.mel.n_mels


def _encoder(path: Path, settings: StreamingSettings) -> ir.Model:
    wiring, caches = open_encoder(path), CacheShapes.of(settings)
    mels, leading, chunk = settings.mel.n_mels, settings.leading_frames, settings.chunk_frames
    first: Sizes = [N, *caches.attention]
    second: Sizes = [N, 1, 1, _carried(settings)]
    features = wiring.input("audio_signal", FLOAT, [N, mels, chunk])
    wiring.input("length", INT64, [N])  # always a whole window
    attention = wiring.input("cache_last_channel", FLOAT, first)
    carried = wiring.input("cache_last_time", FLOAT, second)
    length = wiring.input("cache_last_channel_len", INT64, [N])

    sizes = wiring.ints(_carried(settings) - leading * mels, leading * mels)
    convolution, before = wiring.ops("Split", [wiring.reshape(carried, 0, -1), sizes], 2, axis=1)
    new = _guarded(wiring, wiring.op("Transpose", features, perm=[0, 2, 1]), settings)
    frames = wiring.op("Concat", wiring.reshape(before, 0, leading, mels), new, axis=1)
    window = wiring.rows(frames, 0, settings.window_frames)
    step = attach(wiring, settings, window, attention, convolution, length)
    following = wiring.op(
        "Concat",
        wiring.reshape(step.convolution, 0, -1),
        wiring.reshape(wiring.rows(frames, chunk, chunk + leading), 0, -1),
        axis=1,
    )

    encoded = wiring.op("Transpose", step.encoded, perm=[0, 2, 1])
    shape: Sizes = [N, settings.encoder.dim, settings.chunk_encoder_frames]
    wiring.output("outputs", encoded, FLOAT, shape)
    wiring.output("encoded_lengths", step.encoded_length, INT64, ["frames"])
    wiring.output("cache_last_channel_next", step.attention, FLOAT, first)
    wiring.output("cache_last_time_next", wiring.reshape(following, 0, 1, 1, -1), FLOAT, second)
    wiring.output("cache_last_channel_len_next", step.cache_length, INT64, [N])
    model = wiring.finish()
    model.metadata_props.update(metadata(settings))
    return model


def _guarded(wiring: Rewiring, frames: ir.Value, settings: StreamingSettings) -> ir.Value:
    """Log-mel energies with NeMo's guard, ln(x + guard), from ln(max(x, FLOOR)).

    What the floor has swallowed counts as silence.
    """
    energy = wiring.op("Exp", frames)
    loud = wiring.op("Greater", energy, wiring.number(FLOOR * (1 + 1e-5)))
    heard = wiring.op("Where", loud, energy, wiring.number(0.0))
    return wiring.op("Log", wiring.op("Add", heard, wiring.number(settings.mel.log_guard)))


def _decoder(path: Path, settings: StreamingSettings) -> ir.Model:
    return rewire_decoder(path, settings, N, lengths=True)


def _joiner(path: Path, settings: StreamingSettings) -> ir.Model:
    wiring = Rewiring(load_model(path), str(path))
    graph = settings.contract.joint
    shapes = (
        ("encoder_output", graph.input("encoded"), settings.encoder.dim),
        ("decoder_output", graph.input("prediction"), settings.predictor.hidden),
    )
    for port, name, size in shapes:
        frame = wiring.input(port, FLOAT, [N, size, 1])
        wiring.feed(name, wiring.op("Transpose", frame, perm=[0, 2, 1]))
    logits: Sizes = [N, 1, settings.vocabulary_size + 1]
    wiring.output("joint_output", wiring.take(graph.output("logits")), FLOAT, logits)
    return wiring.finish()
