"""Build what quantkit is compared with, from the same checkpoint, by others' tools.

`python -m benchmarks.incumbent MODEL.nemo --out DIR` runs the passes of olive-recipes'
nvidia-nemotron-speech-streaming-en-0.6b, each in an Olive process of its own so that its time and
peak memory can be told: conversion of NeMo's streaming encoder, decoder and joint (opset 21,
dynamo, static shapes), and for the encoder the conformer fusion and k-quant in 4 bits over blocks
of 32.
Results, each a whole recognizer that `quantkit bench` runs:

- `DIR/fp32`: NeMo's exports as they come;
- `DIR/kquant`: the published recipe, whose decoder and joint stay as they are;
- `DIR/int8`: all three by ONNX Runtime's dynamic quantization, as sherpa-onnx ships them;
- `DIR/incumbent.json`: what was run, versions, seconds, peak memory, bytes.

The fusion changes the numbers (see the README), so this is a yardstick for speed and size alone.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import shutil
import sys
import tarfile
import tempfile
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import onnx
import onnxruntime as ort
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from quantkit.bench.exported import SETTINGS_FILE, ExportedSettings
from quantkit.core.errors import InputError, QuantkitError
from quantkit.core.files import complete_directory, sha256_file, write_json
from quantkit.quantize.schemes.olive_process import run_olive
from quantkit.quantize.schemes.ort_dynamic import quantize_by_ort

#: Names of the inputs and outputs of each network, as onnxruntime-genai binds them.
PORTS = {
    "encoder": (
        [
            "audio_signal",
            "length",
            "cache_last_channel",
            "cache_last_time",
            "cache_last_channel_len",
        ],
        [
            "outputs",
            "encoded_lengths",
            "cache_last_channel_next",
            "cache_last_time_next",
            "cache_last_channel_len_next",
        ],
    ),
    "decoder": (["targets", "h_in", "c_in"], ["decoder_output", "h_out", "c_out"]),
    "joiner": (["encoder_output", "decoder_output"], ["joint_output"]),
}
#: Mel frames before a chunk that NeMo's convolutional stem needs.
PRE_ENCODE_FRAMES = 9
#: Of every frame, in both runtimes.
MAX_SYMBOLS = 10
#: Whether the runtime that a candidate is made for predicts again after a blank.
CANDIDATES = {"fp32": True, "kquant": True, "int8": False}
_VERSIONS = ("olive-ai", "onnxruntime", "onnx", "onnxscript", "torch", "nemo_toolkit")


@dataclass(frozen=True)
class PassRun:
    """One Olive pass: what it was told and what it took (`rss_bytes`: its process's peak)."""

    name: str
    settings: dict[str, Any]
    seconds: float
    rss_bytes: int
    bytes: int
    operators: dict[str, int]
    """How often the graph has the operators that the pass was to make or to remove."""


def build_incumbent(checkpoint: Path, chunk_ms: int, out: Path) -> dict[str, Any]:
    """Run the published recipe on a `.nemo` file; see the module's description.

    Returns:
        The content of incumbent.json.

    Raises:
        InputError: the checkpoint has no streaming configuration, or not that chunk length.
        OliveError: a pass failed; the message ends with Olive's own.
    """
    request = _request(checkpoint, chunk_ms)
    converted = {"type": "OnnxConversion", "target_opset": 21, "use_dynamo_exporter": True}
    converted |= {"dynamic": False}
    fused = {
        "type": "OrtTransformersOptimization",
        "model_type": "conformer",
        "num_heads": request["heads"],
        "hidden_size": request["width"],
        "opt_level": 0,
        "only_onnxruntime": False,
        "optimization_options": {"use_multi_head_attention": False},
    }
    quantized = {"type": "OnnxKQuantQuantization", "bits": 4, "block_size": 32, "accuracy_level": 4}
    with (
        complete_directory(out.resolve()) as folder,
        tempfile.TemporaryDirectory(dir=folder) as scratch,
    ):
        work = Path(scratch)
        write_json(work / "request.json", request)
        plain, published = folder / "fp32", folder / "kquant"
        passes = [
            _run(f"convert {name}", converted, _network(name, work), plain / f"{name}.onnx", work)
            for name in PORTS
        ]
        fusion = work / "fused" / "encoder.onnx"
        passes.append(_run("fuse", fused, _model(plain / "encoder.onnx"), fusion, work))
        encoder = published / "encoder.onnx"
        passes.append(_run("quantize", quantized, _model(fusion), encoder, work))
        for name in ("decoder", "joiner"):
            for file in plain.glob(f"{name}.*"):
                shutil.copyfile(file, published / file.name)
        graphs = {name: plain / f"{name}.onnx" for name in PORTS}
        graphs["decoder"] = _folded(graphs["decoder"], work)
        (folder / "int8").mkdir()
        quantize_by_ort(graphs, folder / "int8")
        for name, predicts in CANDIDATES.items():
            settings = ExportedSettings(
                chunk_frames=request["frames"] - PRE_ENCODE_FRAMES,
                pre_encode_frames=PRE_ENCODE_FRAMES,
                max_symbols=MAX_SYMBOLS,
                predicts_after_blank=predicts,
            )
            write_json(folder / name / SETTINGS_FILE, asdict(settings))
        report = {
            "recipe": "microsoft/olive-recipes: nvidia-nemotron-speech-streaming-en-0.6b",
            "source": {"name": checkpoint.name, "sha256": sha256_file(checkpoint)},
            "chunk_ms": chunk_ms,
            "versions": {name: importlib.metadata.version(name) for name in _VERSIONS},
            "passes": [asdict(run) for run in passes],
            "candidates": {name: _size(folder / name, "") for name in CANDIDATES},
        }
        write_json(folder / "incumbent.json", report)
    return report


def _request(checkpoint: Path, chunk_ms: int) -> dict[str, Any]:
    """The sizes that the recipe writes into its scripts, read from the checkpoint."""
    try:
        with tarfile.open(checkpoint) as archive:
            names = [name for name in archive.getnames() if name.endswith("model_config.yaml")]
            found = archive.extractfile(names[0]) if names else None
            config = YAML(typ="safe").load(found) if found else None
    except (OSError, tarfile.TarError, YAMLError) as error:
        raise InputError(f"{checkpoint}: not a readable .nemo file ({error})") from error
    if not isinstance(config, dict) or "att_context_size" not in config.get("encoder", {}):
        raise InputError(f"{checkpoint}: has no encoder.att_context_size; a streaming model has")
    encoder = config["encoder"]
    contexts = encoder["att_context_size"]
    pairs = contexts if isinstance(contexts[0], list) else [contexts]
    factor = encoder["subsampling_factor"]
    frame_ms = 1000 * factor * config["preprocessor"]["window_stride"]
    lefts = {round(frame_ms * (right + 1)): (left, right) for left, right in pairs}
    if chunk_ms not in lefts:
        accepted = ", ".join(map(str, sorted(lefts)))
        raise InputError(f"--chunk-ms: found {chunk_ms}, accepted for {checkpoint}: {accepted}")
    left, right = lefts[chunk_ms]
    return {
        "checkpoint": str(checkpoint.resolve()),
        "left": left,
        "right": right,
        "frames": factor * (right + 1) + PRE_ENCODE_FRAMES,
        "mels": encoder["feat_in"],
        "layers": encoder["n_layers"],
        "width": encoder["d_model"],
        "heads": encoder["n_heads"],
        "kernel": encoder["conv_kernel_size"],
        "predictor_layers": config["decoder"]["prednet"]["pred_rnn_layers"],
        "predictor_width": config["decoder"]["prednet"]["pred_hidden"],
    }


def _network(name: str, work: Path) -> dict[str, Any]:
    """Olive's description of one of NeMo's networks; the request lies in `work`."""
    inputs, outputs = PORTS[name]
    return {
        "type": "PyTorchModel",
        "model_path": str(work / "request.json"),
        "model_loader": f"load_{name}",
        "model_script": str(Path(__file__).with_name("nemo_networks.py")),
        "dummy_inputs_func": f"{name}_inputs",
        "io_config": {"input_names": inputs, "output_names": outputs},
    }


def _model(path: Path) -> dict[str, Any]:
    """Olive's description of an ONNX file."""
    return {"type": "ONNXModel", "model_path": str(path)}


def _run(
    name: str, settings: dict[str, Any], source: dict[str, Any], out: Path, work: Path
) -> PassRun:
    """Run one pass and leave its model as `out`, with its data beside it."""
    folder = work / "pass"
    folder.mkdir()
    run = run_olive(settings, source, 1, folder)
    _collect(run.models[0], Path(source["model_path"]).parent, out)
    shutil.rmtree(folder)
    graph = onnx.load(out, load_external_data=False).graph
    kinds = dict(Counter(node.op_type for node in graph.node).most_common())
    size = _size(out.parent, f"{out.stem}.")
    return PassRun(name, settings, run.seconds, run.rss_bytes, size, kinds)


def _collect(model: Path, before: Path, out: Path) -> None:
    """Move a model and its data, which is then named after the model.

    Olive's k-quant keeps references to the data of `Constant` nodes but not the data, which is
    still in `before`, the directory of the model that went in.
    """
    out.parent.mkdir(exist_ok=True)
    proto = onnx.load(model, load_external_data=False)
    entries = [e for t in _tensors(proto) for e in t.external_data if e.key == "location"]
    for location in {entry.value for entry in entries}:
        target = out.with_name(_named_after(out, location))
        if (model.parent / location).exists():
            (model.parent / location).replace(target)
        else:
            shutil.copyfile(before / location, target)
    for entry in entries:
        entry.value = _named_after(out, entry.value)
    onnx.save(proto, out)


def _folded(model: Path, work: Path) -> Path:
    """A copy whose constants are computed: the LSTM's weights, which would stay float otherwise."""
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(work / model.name)
    ort.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    return work / model.name


def _named_after(out: Path, location: str) -> str:
    prefix = f"{out.stem}."
    return location if location.startswith(prefix) else prefix + location


def _tensors(model: onnx.ModelProto) -> list[onnx.TensorProto]:
    """Tensors of a graph, those of `Constant` nodes included."""
    constants = (a.t for node in model.graph.node for a in node.attribute if a.HasField("t"))
    return [*model.graph.initializer, *constants]


def _size(folder: Path, prefix: str) -> int:
    return sum(path.stat().st_size for path in folder.iterdir() if path.name.startswith(prefix))


def main(arguments: list[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="benchmarks.incumbent", description=__doc__)
    parser.add_argument("checkpoint", type=Path, help="the .nemo file")
    parser.add_argument("--out", type=Path, required=True, help="the directory to write")
    parser.add_argument("--chunk-ms", type=int, default=560)
    given = parser.parse_args(arguments)
    try:
        report = build_incumbent(given.checkpoint, given.chunk_ms, given.out)
    except QuantkitError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    for run in report["passes"]:
        took = f"{run['seconds']:.1f} s, {run['rss_bytes'] / 1e9:.2f} GB at most"
        sys.stdout.write(f"{run['name']:<15} {took}, {run['bytes'] / 1e6:.1f} MB written\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
