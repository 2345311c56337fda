"""The encoder behind two caches, as NeMo's own exports and the runtimes made for them have it.

NeMo caches the input of attention, [layers, left, dim]; quantkit the keys and values made of it,
in rings of `left + steps` rows. Other runtimes bind what a step returns as the next step's input
without looking at it, so any layout goes through them if they make the first, zero one as large:
[layers, 2 (left + steps), dim].
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import onnx_ir as ir

from quantkit.bundle.channels_first import put_channels_first
from quantkit.bundle.rewiring import Rewiring
from quantkit.core.errors import InputError
from quantkit.graph.files import load_model
from quantkit.runtime.settings import StreamingSettings


@dataclass(frozen=True)
class CacheShapes:
    """Sizes of the two caches, without the batch."""

    attention: tuple[int, int, int]
    """layers, rows of all keys and values of a layer, dim"""
    convolution: tuple[int, int, int]
    """layers, dim, cached frames"""

    @classmethod
    def of(cls, settings: StreamingSettings) -> CacheShapes:
        encoder = settings.encoder
        rows = 2 * (settings.left_context + settings.chunk_encoder_frames)
        return cls(
            (encoder.layers, rows, encoder.dim), (encoder.layers, encoder.dim, encoder.conv_cache)
        )


@dataclass(frozen=True)
class EncoderOutputs:
    """What a step returns: frames [B, steps, dim], their number, and the caches [B, ...]."""

    encoded: ir.Value
    encoded_length: ir.Value
    attention: ir.Value
    convolution: ir.Value
    cache_length: ir.Value


def open_encoder(path: Path) -> Rewiring:
    """The encoder of an artifact, ready to be rewired.

    Raises:
        InputError: it has no causal convolutions, or is no ONNX file.
    """
    model = load_model(path)
    if not put_channels_first(model):
        raise InputError(
            f"{path}: has no time-major CausalConvWithState; only encoders that `quantkit build` "
            "has fused can be bundled for other runtimes"
        )
    return Rewiring(model, str(path))


def attach(
    wiring: Rewiring,
    settings: StreamingSettings,
    window: ir.Value,
    attention: ir.Value,
    convolution: ir.Value,
    cache_length: ir.Value,
) -> EncoderOutputs:
    """Feed an encoder from its window of mel frames and the two caches.

    Args:
        wiring: of the encoder.
        settings: of the artifact.
        window: float32 [B, window_frames, mels], all of it audio.
        attention: float32 [B, *CacheShapes.attention], or so many numbers.
        convolution: float32 [B, *CacheShapes.convolution], or so many numbers.
        cache_length: int64 [B], encoder frames so far; 0 marks a stream's first chunk.
    """
    encoder, graph = settings.encoder, settings.contract.encoder
    rings = {name: graph.states[name] for name in graph.inputs_of("ring")}
    states = {name: graph.states[name] for name in graph.inputs_of("state")}
    count = graph.input("cache_length")
    rows = settings.left_context + settings.chunk_encoder_frames
    width = encoder.dim // encoder.heads
    wiring.feed(graph.input("features"), window)
    wiring.feed(graph.input("length"), wiring.ints(settings.window_frames))
    wiring.feed(count, cache_length)
    _split(wiring, list(rings), attention, encoder.heads, (rows, width))
    _split(wiring, list(states), convolution, encoder.dim, (encoder.conv_cache,))
    return EncoderOutputs(
        wiring.take(graph.output("encoded")),
        wiring.take(graph.output("encoded_length")),
        _join(wiring, rings.values(), CacheShapes.of(settings).attention),
        _join(wiring, states.values(), CacheShapes.of(settings).convolution),
        wiring.take(graph.states[count]),
    )


def _split(
    wiring: Rewiring, names: list[str], packed: ir.Value, each: int, rest: tuple[int, ...]
) -> None:
    """Feed caches [B, each, *rest] from one that has them side by side on axis 1."""
    side_by_side = wiring.reshape(packed, 0, len(names) * each, *rest)
    sizes = wiring.ints(*[each] * len(names))
    parts = wiring.ops("Split", [side_by_side, sizes], len(names), axis=1)
    for name, part in zip(names, parts, strict=True):
        wiring.feed(name, part)


def _join(wiring: Rewiring, names: Iterable[str], shape: tuple[int, ...]) -> ir.Value:
    following = [wiring.take(name) for name in names]
    return wiring.reshape(wiring.op("Concat", *following, axis=1), 0, *shape)
