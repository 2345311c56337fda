"""ONNX Runtime's dynamic quantization to 8 bits, as sherpa-onnx ships models."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import onnx

from quantkit.quantize.graph_scheme import GraphScheme

#: The convolution that reads, beside the audio, a barrier of -1e30 where no audio is. One scale
#: for all that it reads would leave none of the audio.
_BEHIND_BARRIER = "stem.first.weight"


class OrtDynamicSettings(GraphScheme):
    """uint8 weights with one scale a tensor, activations quantized as they come.

    These are the settings of sherpa-onnx's NeMo exports: all operators that ONNX Runtime knows,
    convolutions included, but for the stem's first one, which quantkit exports in another way.
    """

    scheme: Literal["ort-dynamic-int8"] = "ort-dynamic-int8"

    def rewrite(self, graphs: Mapping[str, Path], out: Path) -> dict[str, Path]:
        """Quantize graph files one after the other; see GraphScheme."""
        from onnxruntime.quantization import QuantType, quantize_dynamic

        for name, path in graphs.items():
            model = _mark_prepared(path)
            quantize_dynamic(
                path,
                out / f"{name}.onnx",
                weight_type=QuantType.QUInt8,
                nodes_to_exclude=[
                    node.name for node in model.graph.node if _BEHIND_BARRIER in node.input
                ],
                use_external_data_format=True,
                # What follows a contributed operator, which onnx cannot infer, is float here.
                extra_options={"DefaultTensorType": onnx.TensorProto.FLOAT},
            )
        return {name: out / f"{name}.onnx" for name in graphs}


def _mark_prepared(path: Path) -> onnx.ModelProto:
    """Say that a graph was optimised and has its shapes, which ONNX Runtime would advise.

    Returns the graph without its weights.
    """
    from onnxruntime.quantization.quant_utils import add_pre_process_metadata

    model = onnx.load(path, load_external_data=False)
    add_pre_process_metadata(model)
    onnx.save(model, path)
    return model
