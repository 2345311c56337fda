"""The encoder for several streams at once, each with its caches in a row of the batch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from quantkit.runtime.encoders.cache_aware import zeros
from quantkit.runtime.encoders.chunks import Chunk
from quantkit.runtime.sessions import RUN_ERRORS, cannot_run
from quantkit.runtime.settings import StreamingSettings

Array = NDArray[np.float32]


class EncoderSlots:
    """Runs an encoder session over the next chunks of the streams in the first slots.

    Only as many rows run as there are chunks, so that slots without one cost nothing: who has the
    streams sees to it that those with a chunk are in front. Caches are bound once for each number
    of rows; keys and values are written where they lie.
    """

    def __init__(
        self, session: ort.InferenceSession, settings: StreamingSettings, slots: int
    ) -> None:
        self._session = session
        self._inputs = {node.name: zeros(node, slots) for node in session.get_inputs()}
        self._outputs = {node.name: zeros(node, slots) for node in session.get_outputs()}
        graph = settings.contract.encoder
        rings = graph.inputs_of("ring")
        for name in rings:
            self._outputs[graph.states[name]] = self._inputs[name]
        self._caches = [self._inputs[name] for name in graph.states]
        self._copied = [
            (self._inputs[before], self._outputs[after])
            for before, after in graph.states.items()
            if before not in rings
        ]
        self._file = graph.file
        self._features = self._inputs[graph.input("features")]
        self._length = self._inputs[graph.input("length")]
        self._encoded = self._outputs[graph.output("encoded")]
        self._valid = self._outputs[graph.output("encoded_length")]
        self._bindings: dict[int, ort.IOBinding] = {}

    def clear(self, slot: int) -> None:
        """Start a new stream there: empty caches."""
        for cache in self._caches:
            cache[slot] = 0

    def swap(self, a: int, b: int) -> None:
        """Let the streams of two slots change places."""
        for cache in self._caches:
            cache[[a, b]] = cache[[b, a]]

    def step(self, chunks: Sequence[Chunk]) -> tuple[Array, list[int]]:
        """Encode one chunk of each of the first streams.

        Returns:
            Frames, float32 [chunks, T, dim], good until the next step, and how many of the T
            frames each stream has.

        Raises:
            InputError: ONNX Runtime cannot run the graph.
        """
        count = len(chunks)
        for slot, chunk in enumerate(chunks):
            self._features[slot] = chunk.features[0]
            self._length[slot] = chunk.length
        if count not in self._bindings:
            self._bindings[count] = self._bind(count)
        try:
            self._session.run_with_iobinding(self._bindings[count])
        except RUN_ERRORS as error:
            raise cannot_run(self._file, error) from error
        for before, after in self._copied:
            before[:count] = after[:count]
        lengths: list[int] = self._valid[:count].tolist()
        return self._encoded[:count], lengths

    def _bind(self, count: int) -> ort.IOBinding:
        binding = self._session.io_binding()
        for name, array in self._inputs.items():
            binding.bind_ortvalue_input(name, ort.OrtValue.ortvalue_from_numpy(array[:count]))
        for name, array in self._outputs.items():
            binding.bind_ortvalue_output(name, ort.OrtValue.ortvalue_from_numpy(array[:count]))
        return binding
