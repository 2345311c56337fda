"""The export stage: a checkpoint becomes three graphs, the stream's settings and the tokens."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from nemo.collections.asr.models import EncDecRNNTBPEModel

from quantkit.core.errors import InputError
from quantkit.core.files import write_json, write_text
from quantkit.core.progress import Progress
from quantkit.nemo.architecture import Geometry, geometry
from quantkit.nemo.export.decoder import Joint, PredictionNetwork
from quantkit.nemo.export.encoder import StreamingEncoder
from quantkit.nemo.export.onnx_file import export_module
from quantkit.nemo.loading.checkpoint import load_checkpoint
from quantkit.runtime.contract import Graph
from quantkit.runtime.mel import slaney_filters
from quantkit.runtime.settings import (
    LATENCY_DEFINITION,
    SCHEMA,
    SETTINGS_FILE,
    StreamingSettings,
    algorithmic_latency,
)

# Of the examples that graphs are traced with: the exporter takes 1 for a fixed size.
BATCH = 2


def export_checkpoint(checkpoint: Path, chunk_ms: int, out: Path, progress: Progress) -> None:
    """Write encoder, prediction network and joint of a `.nemo` file as ONNX into `out`.

    Raises:
        InputError: the checkpoint cannot be read, is no cache-aware streaming transducer, or was
            not trained for chunks of `chunk_ms`.
    """
    steps = iter(progress.track(range(4), 4, "export"))
    next(steps)
    model = load_checkpoint(checkpoint)
    sizes = geometry(model, chunk_ms)
    try:
        settings = streaming_settings(model, sizes)
    except InputError as error:
        raise InputError(f"{checkpoint}: {error}") from error
    next(steps)
    contract = settings.contract
    _export_encoder(model, sizes, contract.encoder, out)
    next(steps)
    _export_predictor(model, contract.predictor, out)
    _export_joint(model, contract.joint, out)
    next(steps)
    write_json(out / SETTINGS_FILE, settings.to_dict())
    _write_tokens(model, out)
    next(steps, None)


def _export_encoder(model: EncDecRNNTBPEModel, sizes: Geometry, graph: Graph, out: Path) -> None:
    encoder = model.encoder
    step = StreamingEncoder(encoder, sizes).eval()
    layers = range(len(encoder.layers))
    attention = encoder.layers[0].self_attn
    context = encoder.layers[0].conv.depthwise_conv._left_padding
    projected = (BATCH, attention.h, sizes.left + sizes.steps, attention.d_k)
    inputs = (
        torch.zeros(BATCH, sizes.window_frames, encoder._feat_in),
        torch.full((BATCH,), sizes.window_frames),
        torch.zeros(BATCH, dtype=torch.int64),
        [torch.zeros(projected) for _ in layers],
        [torch.zeros(projected) for _ in layers],
        [torch.zeros(BATCH, context, encoder.d_model) for _ in layers],
    )
    # The module takes all keys, then all values, then all inputs of convolutions.
    rings = graph.inputs_of("ring")
    caches = [*rings[::2], *rings[1::2], *graph.inputs_of("state")]
    names = [graph.input(role) for role in ("features", "length", "cache_length")] + caches
    outputs = [graph.output("encoded"), graph.output("encoded_length")]
    outputs += [graph.states[name] for name in names if name in graph.states]
    batch = {0: torch.export.Dim("batch")}
    shapes = (batch, batch, batch, *([batch] * len(layers) for _ in inputs[3:]))
    export_module(step, inputs, names, outputs, out / graph.file, shapes)


def _export_predictor(model: EncDecRNNTBPEModel, graph: Graph, out: Path) -> None:
    step = PredictionNetwork(model.decoder).eval()
    lstm = model.decoder.prediction["dec_rnn"].lstm
    state = torch.zeros(lstm.num_layers, BATCH, lstm.hidden_size)
    inputs = (torch.zeros(BATCH, 1, dtype=torch.int64), state, state.clone())
    batch = torch.export.Dim("batch")
    _export(step, inputs, graph, out, ({0: batch}, {1: batch}, {1: batch}))


def _export_joint(model: EncDecRNNTBPEModel, graph: Graph, out: Path) -> None:
    joint = Joint(model.joint).eval()
    inputs = (
        torch.zeros(BATCH, 2, model.joint.encoder_hidden),
        torch.zeros(BATCH, 1, model.joint.pred_hidden),
    )
    batch, frames = torch.export.Dim("batch"), torch.export.Dim("frames")
    shapes = ({0: batch, 1: frames}, {0: batch})
    _export(joint, inputs, graph, out, shapes)


def _export(
    module: torch.nn.Module,
    inputs: tuple[Any, ...],
    graph: Graph,
    out: Path,
    shapes: tuple[Any, ...],
) -> None:
    """Export a module whose inputs and outputs are in the contract's order."""
    names, outputs = ([port.name for port in ports] for ports in (graph.inputs, graph.outputs))
    export_module(module, inputs, names, outputs, out / graph.file, shapes)


def streaming_settings(model: EncDecRNNTBPEModel, sizes: Geometry) -> StreamingSettings:
    """What a runtime must know to stream."""
    featurizer = model.preprocessor.featurizer
    rate = int(model.cfg.preprocessor.sample_rate)
    mel = {
        "n_fft": featurizer.n_fft,
        "window_length": featurizer.win_length,
        "hop_length": featurizer.hop_length,
        "n_mels": featurizer.nfilt,
        "preemphasis": featurizer.preemph,
        "log_guard": float(featurizer.log_zero_guard_value),
        "f_min": float(model.cfg.preprocessor.get("lowfreq") or 0.0),
        "f_max": float(model.cfg.preprocessor.get("highfreq") or rate / 2),
    }
    _check_front_end(model, mel)
    frame_s = sizes.factor * featurizer.hop_length / rate
    encoder, lstm = model.encoder, model.decoder.prediction["dec_rnn"].lstm
    attention = encoder.layers[0].self_attn
    content = {
        "schema": SCHEMA,
        "sample_rate": rate,
        "mel": mel,
        "subsampling_factor": sizes.factor,
        "left_context": sizes.left,
        "right_context": sizes.right,
        "chunk_frames": sizes.chunk_frames,
        "window_frames": sizes.window_frames,
        "leading_frames": sizes.leading_frames,
        "encoder_frame_s": frame_s,
        "chunk_s": frame_s * sizes.steps,
        "algorithmic_latency_s": 0.0,
        "latency_definition": LATENCY_DEFINITION,
        "encoder": {
            "dim": model.joint.encoder_hidden,
            "layers": len(encoder.layers),
            "heads": attention.h,
            "conv_cache": encoder.layers[0].conv.depthwise_conv._left_padding,
        },
        "predictor": {"layers": lstm.num_layers, "hidden": lstm.hidden_size},
        "vocabulary_size": model.decoder.vocab_size,
        "blank_id": model.decoder.blank_idx,
        "max_symbols": _max_symbols(model),
    }
    settings = StreamingSettings.from_dict(content)
    return replace(settings, algorithmic_latency_s=algorithmic_latency(settings))


def _max_symbols(model: EncDecRNNTBPEModel) -> int:
    greedy = model.cfg.decoding.get("greedy") or {}
    found = greedy.get("max_symbols", greedy.get("max_symbols_per_step"))
    if not isinstance(found, int) or found < 1:
        raise InputError(
            f"decoding.greedy.max_symbols: found {found!r}; a positive number is needed, since "
            "unbounded decoding of a frame may never end"
        )
    return found


def _check_front_end(model: EncDecRNNTBPEModel, mel: dict[str, Any]) -> None:
    """Refuse a front end that the streaming runtime does not compute."""
    featurizer = model.preprocessor.featurizer
    window = torch.hann_window(mel["window_length"], periodic=False)
    accepted = {
        "window": (torch.equal(featurizer.window, window), "a symmetric Hann window"),
        "mag_power": (featurizer.mag_power == 2.0, "2.0"),
        "log": (
            featurizer.log and featurizer.log_zero_guard_type == "add",
            "natural log, added guard",
        ),
        "exact_pad": (not featurizer.exact_pad, "false"),
        "frame_splicing": (featurizer.frame_splicing == 1, "1"),
        "preemph": (mel["preemphasis"] is not None, "a number"),
    }
    for setting, (fine, expected) in accepted.items():
        if not fine:
            raise InputError(
                f"preprocessor.{setting} differs from what can be streamed: {expected}"
            )
    rate = int(model.cfg.preprocessor.sample_rate)
    ours = slaney_filters(rate, mel["n_fft"], mel["n_mels"], mel["f_min"], mel["f_max"])
    theirs = featurizer.fb[0].numpy()
    error = float(np.abs(ours - theirs).max()) if ours.shape == theirs.shape else float("inf")
    if error > 1e-6:
        raise InputError(f"preprocessor filter bank differs from the Slaney filters by {error:.1e}")


def _write_tokens(model: EncDecRNNTBPEModel, out: Path) -> None:
    tokenizer = model.tokenizer.tokenizer
    pieces = [tokenizer.id_to_piece(index) for index in range(model.decoder.vocab_size)]
    lines = [f"{piece} {index}" for index, piece in enumerate([*pieces, "<blk>"])]
    write_text(out / "tokens.txt", "\n".join(lines) + "\n")
    (out / "tokenizer.model").write_bytes(tokenizer.serialized_model_proto())
