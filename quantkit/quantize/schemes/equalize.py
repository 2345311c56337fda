"""Equalization: what a layer norm hands to matrices is scaled down, their rows are scaled up.

A norm's output x * gamma + beta that goes into matrices W alone may be divided by any s > 0, one
number a channel, as gamma / s and beta / s, if the rows of W are multiplied by it: the same
function, but other numbers for a quantizer to round, in the weights and, at accuracy level 4, in
the activations. As in SmoothQuant and AWQ, s_k = (a_k / mean |w_k|)^strength with a_k the root mean
square of the channel. How far to go is tried out for each norm on what would be stored; not at all
is one of the candidates, so the output error on the calibration speech never grows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from quantkit.core.progress import Progress
from quantkit.graph.constants import constant_of, replace_constant, scaled
from quantkit.graph.names import MICROSOFT
from quantkit.quantize.moments import InputMoments
from quantkit.quantize.schemes.registry import quantize_matrix
from quantkit.quantize.settings import MatrixScheme
from quantkit.quantize.storage.blocks import FloatArray
from quantkit.quantize.storage.matrices import Inputs, WeightMatrix

STRENGTHS = (0.125, 0.25, 0.5, 0.75)

# Input of a norm that is its gamma; beta is the next one.
_GAMMA = {("", "LayerNormalization"): 1, (MICROSOFT, "SkipLayerNormalization"): 2}


@dataclass(frozen=True)
class NormedMatrices:
    """A layer norm and all that its output goes into: matrices, each in one product."""

    norm: ir.Node
    matrices: tuple[WeightMatrix, ...]

    @property
    def affine(self) -> list[ir.Value]:
        """Gamma and, where there is one, beta."""
        first = _GAMMA[self.norm.domain, self.norm.op_type]
        return [value for value in self.norm.inputs[first : first + 2] if value is not None]


def normed_matrices(matrices: Sequence[WeightMatrix]) -> Iterator[NormedMatrices]:
    """The norms of a graph that can be equalized, in the order of their first matrix."""
    by_input: dict[ir.Value, list[WeightMatrix]] = {}
    for matrix in matrices:
        source = matrix.nodes[0].inputs[0]
        single = matrix.value.is_initializer() and _used_once(matrix.value)
        if matrix.use == "product" and single and source is not None:
            by_input.setdefault(source, []).append(matrix)
    for source, found in by_input.items():
        norm = source.producer()
        if norm is None or (norm.domain, norm.op_type) not in _GAMMA:
            continue
        group = NormedMatrices(norm, tuple(found))
        alone = source is norm.outputs[0] and len(source.uses()) == len(found)
        own = all(constant_of(value) is not None and _used_once(value) for value in group.affine)
        if alone and own and not source.is_graph_output():
            yield group


def _used_once(value: ir.Value) -> bool:
    return len(value.uses()) == 1 and not value.is_graph_output()


def equalize_norms(
    matrices: Sequence[WeightMatrix],
    settings: Mapping[str, MatrixScheme],
    inputs: Inputs,
    progress: Progress,
) -> Inputs:
    """Equalize the norms of a graph in place, where that lowers the output error.

    Args:
        matrices: all of the graph; find them again afterwards.
        settings: by name of the matrix; a norm is left alone if one of its matrices has none.
        inputs: tells the moments of a matrix's inputs, with the Hessian.
        progress: told about each norm.

    Returns:
        What tells the moments of the inputs as they are now.
    """
    scales: dict[str, NDArray[np.float32]] = {}
    groups = list(normed_matrices(matrices))
    for group in progress.track(groups, len(groups), "equalize"):
        names = [matrix.name for matrix in group.matrices]
        if all(name in settings for name in names):
            scale = equalize(group, settings, inputs)
            if scale is not None:
                scales.update(dict.fromkeys(names, scale))

    def divided(matrix: WeightMatrix) -> InputMoments | None:
        found, scale = inputs(matrix), scales.get(matrix.name)
        return found if found is None or scale is None else found.divided(scale)

    return divided


def equalize(
    group: NormedMatrices, settings: Mapping[str, MatrixScheme], inputs: Inputs
) -> NDArray[np.float32] | None:
    """Choose s for one norm and change gamma, beta and the matrices in place.

    Returns:
        s, float32 [K], or None where nothing is better than leaving all as it is.
    """
    weights = [matrix.read() for matrix in group.matrices]
    moments = [known for matrix in group.matrices if (known := inputs(matrix)) is not None]
    chosen = [settings[matrix.name] for matrix in group.matrices]

    def error(scale: NDArray[np.float32]) -> float:
        each = zip(weights, moments, chosen, strict=True)
        return sum(_output_error(weight, scale, moment, own) for weight, moment, own in each)

    size = np.abs(np.concatenate(weights, axis=1)).mean(axis=1)
    best = None
    least = error(np.ones(len(size), np.float32))
    for strength in STRENGTHS:
        scale = _scale(np.sqrt(moments[0].diagonal), size, strength)
        found = error(scale)
        if found < least:
            least, best = found, scale
    if best is not None:
        _apply(group, best)
    return best


def _scale(
    activations: NDArray[np.floating], weights: NDArray[np.floating], strength: float
) -> NDArray[np.float32]:
    """S of SmoothQuant with geometric mean 1; channels that are never used or active stay."""
    both = (activations > 0) & (weights > 0)
    logs = np.zeros(len(weights))
    logs[both] = strength * (np.log(activations[both]) - np.log(weights[both]))
    if both.any():
        logs[both] -= logs[both].mean()
    return np.exp(logs).astype(np.float32)


def _output_error(
    weight: FloatArray, scale: NDArray[np.float32], moments: InputMoments, settings: MatrixScheme
) -> float:
    """Mean squared output error, summed over outputs, of what is stored of scale * weight."""
    if moments.hessian is None:
        raise ValueError("equalization needs the Hessian of the inputs")
    scaled_weight = weight * scale[:, None]
    stored = quantize_matrix(scaled_weight, settings, moments.divided(scale)).dequantize()
    residual = stored / scale[:, None] - weight
    return float(np.vdot(residual, moments.hessian @ residual))


def _apply(group: NormedMatrices, scale: NDArray[np.float32]) -> None:
    for value in group.affine:
        tensor = constant_of(value)
        if tensor is not None:
            replace_constant(value, scaled(tensor, np.float32(1) / scale))
    for matrix in group.matrices:
        rows = scale if matrix.transposed else scale[:, None]
        replace_constant(matrix.value, scaled(matrix.tensor, rows))
