"""The published exports of a checkpoint in the layouts of the runtimes that they are made for.

What `benchmarks.incumbent` builds has onnxruntime-genai's inputs and outputs already; sherpa-
onnx's own export script turns the axes of the same networks and adds metadata.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import onnx_ir as ir

from benchmarks.incumbent import PRE_ENCODE_FRAMES
from quantkit.bundle import genai, sherpa
from quantkit.bundle.genai import tokenizer_files
from quantkit.bundle.rewiring import Rewiring, Sizes
from quantkit.core.files import complete_directory, write_json
from quantkit.graph.files import load_model, save_model
from quantkit.runtime.settings import StreamingSettings
from quantkit.runtime.tokens import Vocabulary

FLOAT, INT32, INT64 = ir.DataType.FLOAT, ir.DataType.INT32, ir.DataType.INT64
TURNED = [0, 2, 1]


def publish_genai(exported: Path, artifact: Path, out: Path) -> None:
    """Lay the graphs out as the recipe of onnxruntime-genai does, with threads as in our bundles.

    Args:
        exported: a directory that `benchmarks.incumbent` has built.
        artifact: of the same checkpoint and chunk length, for its settings and tokens.
        out: the directory to write.
    """
    settings = StreamingSettings.load(artifact)
    config = genai.genai_config(settings)
    model = config["model"]
    model |= {"left_context": settings.left_context, "pre_encode_cache_size": PRE_ENCODE_FRAMES}
    model["encoder"]["inputs"]["input_lengths"] = "length"
    for name in genai.FILES:
        model[name]["filename"] = f"{name}.onnx"
    with complete_directory(out) as folder:
        for path in exported.glob("*.onnx*"):
            shutil.copyfile(path, folder / path.name)
        write_json(folder / genai.CONFIG, config)
        for name, content in tokenizer_files(Vocabulary.load(artifact)).items():
            write_json(folder / name, content)


def publish_sherpa(exported: Path, artifact: Path, out: Path) -> None:
    """Lay the graphs out as the export script of sherpa-onnx does; arguments as above."""
    settings = StreamingSettings.load(artifact)
    with complete_directory(out) as folder:
        graphs = {
            "encoder": _encoder(exported / "encoder.onnx", settings),
            "decoder": _decoder(exported / "decoder.onnx", settings),
            "joiner": _joiner(exported / "joiner.onnx", settings),
        }
        for name, graph in graphs.items():
            save_model(graph, folder / sherpa.FILES[name])
        shutil.copyfile(artifact / "tokens.txt", folder / "tokens.txt")


def _encoder(path: Path, settings: StreamingSettings) -> ir.Model:
    wiring, encoder = Rewiring(load_model(path), str(path)), settings.encoder
    window = settings.chunk_frames + PRE_ENCODE_FRAMES
    caches: dict[str, Sizes] = {
        "channel": [encoder.layers, settings.left_context, encoder.dim],
        "time": [encoder.layers, encoder.dim, encoder.conv_cache],
    }
    features = wiring.input("features", FLOAT, [1, settings.mel.n_mels, window])
    wiring.feed("audio_signal", wiring.op("Transpose", features, perm=TURNED))
    wiring.feed("length", wiring.input("length", INT64, [1]))
    for kind, shape in caches.items():
        name = f"cache_last_{kind}"
        wiring.feed(name, wiring.input(name, FLOAT, [1, *shape]))
    wiring.feed("cache_last_channel_len", wiring.input("cache_last_channel_len", INT64, [1]))
    encoded = wiring.op("Transpose", wiring.take("outputs"), perm=TURNED)
    steps = settings.chunk_encoder_frames
    wiring.output("encoded", encoded, FLOAT, [1, encoder.dim, steps])
    wiring.output("encoded_lengths", wiring.take("encoded_lengths"), INT64, [1])
    for kind, shape in caches.items():
        name = f"cache_last_{kind}_next"
        wiring.output(name, wiring.take(name), FLOAT, [1, *shape])
    name = "cache_last_channel_len_next"
    wiring.output(name, wiring.take(name), INT64, [1])
    model = wiring.finish()
    model.metadata_props.update(sherpa.metadata(settings) | {"window_size": str(window)})
    for kind, shape in caches.items():
        for axis, size in enumerate(shape):
            model.metadata_props[f"cache_last_{kind}_dim{axis + 1}"] = str(size)
    return model


def _decoder(path: Path, settings: StreamingSettings) -> ir.Model:
    wiring, hidden = Rewiring(load_model(path), str(path)), settings.predictor.hidden
    state: Sizes = [settings.predictor.layers, 1, hidden]
    targets = wiring.input("targets", INT32, [1, 1])
    length = wiring.input("target_length", INT32, [1])
    wiring.feed("targets", wiring.op("Cast", targets, to=INT64))
    for name in ("h_in", "c_in"):
        wiring.feed(name, wiring.input(name, FLOAT, state))
    wiring.output("decoder_output", wiring.take("decoder_output"), FLOAT, [1, hidden, 1])
    wiring.output("output_length", wiring.op("Identity", length), INT32, [1])
    for name in ("h_out", "c_out"):
        wiring.output(name, wiring.take(name), FLOAT, state)
    return wiring.finish()


def _joiner(path: Path, settings: StreamingSettings) -> ir.Model:
    wiring = Rewiring(load_model(path), str(path))
    sizes = {"encoder_output": settings.encoder.dim, "decoder_output": settings.predictor.hidden}
    for name, size in sizes.items():
        frame = wiring.input(name, FLOAT, [1, size, 1])
        wiring.feed(name, wiring.op("Transpose", frame, perm=TURNED))
    logits = [1, 1, 1, settings.vocabulary_size + 1]
    wiring.output("joint_output", wiring.take("joint_output"), FLOAT, logits)
    return wiring.finish()
