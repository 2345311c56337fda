from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from quantkit.runtime.decoders.greedy import GreedyDecoder, Token

Array = NDArray[np.float32]
DIM, VOCABULARY = 5, 7


class RandomModel:
    """A transducer whose prediction is the whole history, hashed into random logits."""

    blank_id = VOCABULARY

    def __init__(self, seed: int, blank_bias: float) -> None:
        self.random = np.random.default_rng(seed)
        self.table = self.random.normal(size=(VOCABULARY + 1, DIM))
        self.output = self.random.normal(size=(DIM, VOCABULARY + 1))
        self.blank_bias = blank_bias
        self.advances = self.joints = 0

    def start(self) -> Array:
        return np.asarray(self.table[VOCABULARY], np.float32)

    def advance(self, predictions: Sequence[Array], tokens: Sequence[int]) -> list[Array]:
        self.advances += 1
        return [
            np.asarray(np.tanh(0.5 * one + self.table[token]), np.float32)
            for one, token in zip(predictions, tokens, strict=True)
        ]

    def logits(self, encoded: Array, predictions: Sequence[Array]) -> Array:
        self.joints += 1
        logits = np.tanh(encoded + np.stack(predictions)[:, None]) @ self.output
        logits[..., VOCABULARY] += self.blank_bias
        return np.asarray(logits, np.float32)


def straightforward(model: RandomModel, encoded: Array, max_symbols: int) -> list[Token]:
    """NeMo's `GreedyRNNTInfer._greedy_decode`: one frame, one joint call at a time."""
    tokens, prediction = [], model.start()
    for frame in range(encoded.shape[1]):
        not_blank, symbols_added = True, 0
        while not_blank and symbols_added < max_symbols:
            logits = model.logits(encoded[:, frame : frame + 1], [prediction])[0, 0]
            choice = int(logits.argmax())
            if choice == model.blank_id:
                not_blank = False
            else:
                tokens.append(Token(choice, frame))
                [prediction] = model.advance([prediction], [choice])
                symbols_added += 1
    return tokens


@settings(max_examples=150, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    bias=st.floats(-2, 6),
    chunks=st.lists(st.integers(0, 9), min_size=1, max_size=6),
    max_symbols=st.integers(1, 4),
)
def test_equals_frame_by_frame_decoding(
    seed: int, bias: float, chunks: list[int], max_symbols: int
) -> None:
    model = RandomModel(seed, bias)
    encoded = model.random.normal(size=(1, sum(chunks), DIM)).astype(np.float32)
    expected = straightforward(model, encoded, max_symbols)
    decoder = GreedyDecoder(model, max_symbols)
    model.advances = model.joints = 0
    hypothesis, start = decoder.start(), 0
    for size in chunks:
        decoder.extend([hypothesis], encoded[:, start : start + size], [size])
        start += size
    assert hypothesis.tokens == expected
    assert hypothesis.frames == start
    assert model.advances == len(expected)
    assert model.joints <= len(expected) + sum(size > 0 for size in chunks)


@settings(max_examples=100, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    bias=st.floats(-2, 6),
    lengths=st.lists(st.lists(st.integers(0, 7), min_size=3, max_size=3), min_size=1, max_size=5),
    max_symbols=st.integers(1, 4),
)
def test_streams_together_are_as_alone(
    seed: int, bias: float, lengths: list[list[int]], max_symbols: int
) -> None:
    model = RandomModel(seed, bias)
    decoder = GreedyDecoder(model, max_symbols)
    chunks = model.random.normal(size=(3, len(lengths), 7, DIM)).astype(np.float32)
    together = [decoder.start() for _ in lengths]
    alone = [decoder.start() for _ in lengths]
    for turn, encoded in enumerate(chunks):
        model.advances = 0
        decoder.extend(together, encoded, [length[turn] for length in lengths])
        calls, model.advances = model.advances, 0
        most = 0
        for one, rows, length in zip(alone, encoded[:, None], lengths, strict=True):
            before = model.advances
            decoder.extend([one], rows, [length[turn]])
            most = max(most, model.advances - before)
        assert calls == most  # streams that spoke advance in one call
    assert [one.tokens for one in together] == [one.tokens for one in alone]
    assert [one.frames for one in together] == [sum(length) for length in lengths]


@pytest.mark.parametrize("max_symbols", [1, 2, 10])
def test_a_frame_that_never_says_blank_ends(max_symbols: int) -> None:
    model = RandomModel(5, -1e9)
    decoder = GreedyDecoder(model, max_symbols)
    hypothesis = decoder.start()
    decoder.extend([hypothesis], np.zeros((1, 4, DIM), np.float32), [4])
    assert [token.frame for token in hypothesis.tokens] == np.repeat(range(4), max_symbols).tolist()
