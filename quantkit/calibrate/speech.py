"""Speech through the observed graphs, exactly as a stream in use."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantkit.calibrate.observe import ObservedSession
from quantkit.runtime.contract import Graph
from quantkit.runtime.decoders.greedy import GreedyDecoder
from quantkit.runtime.decoders.transducer import Prediction, Transducer
from quantkit.runtime.encoders.cache_aware import zeros
from quantkit.runtime.encoders.chunks import Chunk, ChunkWindows
from quantkit.runtime.mel import LogMel
from quantkit.runtime.settings import SETTINGS_FILE, StreamingSettings
from quantkit.speech.manifest import Recording
from quantkit.speech.reading import recording_blocks


class ObservedModel:
    """The three graphs of a model directory, observed."""

    def __init__(self, model: Path) -> None:
        self.settings = StreamingSettings.load(model / SETTINGS_FILE)
        self.sessions = {
            graph.name: ObservedSession(model / graph.file)
            for graph in self.settings.contract.graphs
        }
        contract = self.settings.contract
        self._transducer = Transducer(
            self.sessions[contract.predictor.name],
            self.sessions[contract.joint.name],
            self.settings,
        )

    def listen(self, recording: Recording) -> Iterator[int]:
        """Stream one recording through encoder and greedy decoder.

        Yields:
            The encoder frames of the next second or so of audio, after they were decoded.

        Raises:
            InputError: the recording cannot be used.
        """
        mel = LogMel(self.settings.mel, self.settings.sample_rate)
        windows = ChunkWindows(self.settings)
        graph = self.settings.contract.encoder
        encoder = _Encoder(self.sessions[graph.name], graph)
        decoder: GreedyDecoder[Prediction] = GreedyDecoder(
            self._transducer, self.settings.max_symbols
        )

        hypothesis = decoder.start()

        def decode(chunks: list[Chunk]) -> int:
            encoded = [encoder.step(chunk) for chunk in chunks]
            for part in encoded:
                decoder.extend([hypothesis], part, [part.shape[1]])
            return sum(part.shape[1] for part in encoded)

        for block in recording_blocks(recording, self.settings.sample_rate):
            yield decode(windows.push(mel.push(block)))
        yield decode(windows.push(mel.flush()) + windows.flush())

    def channels(self) -> dict[str, int]:
        """Row length of every distinct input of weight matrices, by a name fit for a file."""
        return {
            name: given.channels
            for graph, session in self.sessions.items()
            for name, given in zip(_names(graph, session), session.inputs, strict=True)
        }

    def matrices(self) -> dict[str, str]:
        """The input, as `channels` names it, of every weight matrix "graph/tensor"."""
        return {
            f"{graph}/{matrix}": name
            for graph, session in self.sessions.items()
            for name, given in zip(_names(graph, session), session.inputs, strict=True)
            for matrix in given.matrices
        }

    def kept_bytes(self) -> int:
        """Bytes of the rows that wait for `take`."""
        return sum(session.kept_bytes for session in self.sessions.values())

    def take(self) -> dict[str, list[NDArray[np.float32]]]:
        """The rows that each input met since the last call, in pieces [R, K]."""
        return {
            name: rows
            for graph, session in self.sessions.items()
            for name, rows in zip(_names(graph, session), session.take(), strict=True)
        }


def _names(graph: str, session: ObservedSession) -> list[str]:
    return [f"{graph}-{number:03d}" for number in range(len(session.inputs))]


class _Encoder:
    """One stream's caches around the observed encoder."""

    def __init__(self, session: ObservedSession, graph: Graph) -> None:
        self._session, self._graph = session, graph
        self._caches: dict[str, NDArray[Any]] = {
            node.name: zeros(node) for node in session.get_inputs() if node.name in graph.states
        }

    def step(self, chunk: Chunk) -> NDArray[np.float32]:
        """Encode the next chunk: its valid frames, float32 [1, T, dim]."""
        window = np.asarray(chunk.features, np.float32)
        feeds: dict[str, NDArray[Any]] = {
            self._graph.input("features"): window.reshape(1, *window.shape[-2:]),
            self._graph.input("length"): np.array([chunk.length], np.int64),
            **self._caches,
        }
        outputs = [self._graph.output("encoded"), self._graph.output("encoded_length")]
        names = [*outputs, *(self._graph.states[name] for name in self._caches)]
        encoded, length, *caches = self._session.run(names, feeds)
        self._caches = dict(zip(self._caches, caches, strict=True))
        return encoded[:, : int(length[0])]
