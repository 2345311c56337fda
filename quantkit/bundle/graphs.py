"""What the layouts share: how three graphs are written, and the prediction network among them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import onnx_ir as ir

from quantkit.bundle.rewiring import Rewiring
from quantkit.graph.files import load_model
from quantkit.runtime.contract import Size
from quantkit.runtime.settings import StreamingSettings

FLOAT, INT32, INT64 = ir.DataType.FLOAT, ir.DataType.INT32, ir.DataType.INT64
PARTS = ("encoder", "decoder", "joiner")

Maker = Callable[[Path, StreamingSettings], ir.Model]


def write_graphs(
    artifact: Path,
    settings: StreamingSettings,
    out: Path,
    files: Mapping[str, str],
    makers: tuple[Maker, Maker, Maker],
) -> None:
    """Write the three graphs, made from those of the artifact, over the artifact's weights.

    Args:
        artifact: directory of the graphs.
        settings: of the artifact.
        out: directory to write.
        files: name of the file of each of PARTS.
        makers: make encoder, decoder and joiner.
    """
    contract = settings.contract
    graphs = (contract.encoder, contract.predictor, contract.joint)
    for part, graph, make in zip(PARTS, graphs, makers, strict=True):
        ir.save(make(artifact / graph.file, settings), out / files[part])


def rewire_decoder(
    path: Path, settings: StreamingSettings, batch: Size, *, lengths: bool
) -> ir.Model:
    """The prediction network, its output [batch, hidden, 1].

    With `lengths` tokens are int32, and their number goes in and out.
    """
    wiring, graph = Rewiring(load_model(path), str(path)), settings.contract.predictor
    hidden = settings.predictor.hidden
    state = [settings.predictor.layers, batch, hidden]
    tokens = wiring.input("targets", INT32 if lengths else INT64, [batch, 1])
    length = wiring.input("target_length", INT32, [batch]) if lengths else None
    wiring.feed(graph.input("token"), wiring.op("Cast", tokens, to=INT64) if lengths else tokens)
    for name, before in zip(("h_in", "c_in"), graph.states, strict=True):
        wiring.feed(before, wiring.input(name, FLOAT, state))
    prediction = wiring.op("Transpose", wiring.take(graph.output("prediction")), perm=[0, 2, 1])
    wiring.output("decoder_output", prediction, FLOAT, [batch, hidden, 1])
    if length is not None:
        wiring.output("output_length", wiring.op("Identity", length), INT32, [batch])
    for name, after in zip(("h_out", "c_out"), graph.states.values(), strict=True):
        wiring.output(name, wiring.take(after), FLOAT, state)
    return wiring.finish()
