"""Where a finished scheme does its damage: KL with one layer at a time as the scheme stores it."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import onnx_ir as ir
from onnx_ir.passes.common import LiftConstantsToInitializersPass

from quantkit.calibrate.sensitivity.damage import DamageMeter
from quantkit.calibrate.sensitivity.measure import AT_A_TIME
from quantkit.calibrate.sensitivity.reference import float_utterances
from quantkit.core.errors import InputError
from quantkit.core.names import kind_and_layer
from quantkit.core.progress import Progress
from quantkit.graph.constants import read_constant, replace_constant
from quantkit.graph.files import load_model
from quantkit.quantize.inventory import float_constants
from quantkit.quantize.storage.stored import StoredTensor, stored_tensors
from quantkit.runtime.contract import Graph
from quantkit.runtime.settings import StreamingSettings
from quantkit.speech.manifest import Recording


@dataclass(frozen=True)
class _Layer:
    """What a scheme did to one layer.

    Attributes:
        name: of the layer, or of the graph.
        graph: that it belongs to.
        stored: its tensors in few bits.
        floats: its other constants, of which an equalized norm is not what it was.
    """

    name: str
    graph: Graph
    stored: list[StoredTensor] = field(default_factory=list)
    floats: dict[str, ir.TensorProtocol] = field(default_factory=dict)


def layer_divergence(
    model: Path, quantized: Path, recordings: Sequence[Recording], progress: Progress
) -> list[tuple[str, float]]:
    """How far each layer alone, as a scheme stores it, moves the float32 model's decisions.

    The layer's constants are replaced by what the scheme stores of them, however it does, and the
    rest stays; KL(float32 || changed) is taken along the float32 model's greedy path, as
    `measure_sensitivity` does for single tensors. This is the error of the weights: activations
    stay in float32 even where the scheme quantizes them.

    Args:
        model: directory of the float32 graphs that the scheme started from, and streaming.json.
        quantized: directory of the scheme's graphs.
        recordings: the speech that it is measured on; the encoder hears it once for each layer.
        progress: told about each recording and each layer.

    Returns:
        Layers that store something in few bits, in the model's order, and the mean KL in nats over
        all decisions.

    Raises:
        InputError: the graphs or a recording cannot be used, or the graphs do not belong together.
    """
    contract = StreamingSettings.load(model).contract
    layers = [layer for graph in contract.graphs for layer in _layers(graph, quantized)]
    if not layers:
        return []
    meter = DamageMeter(model, float_utterances(model, recordings, progress))
    with ThreadPoolExecutor(AT_A_TIME) as pool:
        results = pool.map(
            lambda layer: meter.damage(layer.graph.name, _changed(model, layer)).kl_mean, layers
        )
        divergences = list(progress.track(results, len(layers), "layers"))
    return [(layer.name, kl) for layer, kl in zip(layers, divergences, strict=True)]


def _layers(graph: Graph, quantized: Path) -> list[_Layer]:
    found: dict[int, _Layer] = {}
    opened = load_model(quantized / graph.file)
    for tensor in stored_tensors(opened):
        number, layer = _place(graph, tensor.name)
        found.setdefault(number, _Layer(layer, graph)).stored.append(tensor)
    for name, constant in float_constants(opened).items():
        number, _ = _place(graph, name)
        if number in found:
            found[number].floats[name] = constant
    return [layer for _, layer in sorted(found.items())]


def _place(graph: Graph, tensor: str) -> tuple[int, str]:
    """Number and name of the layer that a tensor belongs to; -1 is all outside of the layers."""
    _, number = kind_and_layer(f"{graph.name}/{tensor}")
    if number is not None:
        return number, f"{graph.name}/layers.{number}"
    return -1, f"{graph.name}/stem" if graph.runs == "chunk" else graph.name


def _changed(model: Path, layer: _Layer) -> ir.Model:
    """The float32 graph with one layer's constants as the scheme has them."""
    changed = load_model(model / layer.graph.file)
    LiftConstantsToInitializersPass()(changed)
    known = {
        name: value for graph in changed.graphs() for name, value in graph.initializers.items()
    }
    for name, tensor in layer.floats.items():
        if name in known:
            replace_constant(known[name], ir.tensor(read_constant(tensor), name=name))
    for stored in layer.stored:
        values = stored.dequantize()
        weight = values.swapaxes(-1, -2) if stored.transposed else values
        value = known.get(stored.name)
        if value is None or value.shape != ir.Shape(weight.shape):
            raise InputError(
                f"{model / layer.graph.file}: has no {stored.name} {list(weight.shape)}, which "
                "the scheme stores; compare it with the float32 graphs that it was made from"
            )
        replace_constant(value, ir.tensor(weight.copy(), name=stored.name))
    return changed
