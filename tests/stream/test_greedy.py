from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from quantkit.stream import GreedyDecoder, Token

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

    def advance(self, prediction: Array, token: int) -> Array:
        self.advances += 1
        return np.asarray(np.tanh(0.5 * prediction + self.table[token]), np.float32)

    def logits(self, encoded: Array, prediction: Array) -> Array:
        self.joints += 1
        logits = np.tanh(encoded[0] + prediction) @ self.output
        logits[:, VOCABULARY] += self.blank_bias
        return np.asarray(logits, np.float32)


def straightforward(model: RandomModel, encoded: Array, max_symbols: int) -> list[Token]:
    """NeMo's `GreedyRNNTInfer._greedy_decode`: one frame, one joint call at a time."""
    tokens, prediction = [], model.start()
    for frame in range(encoded.shape[1]):
        not_blank, symbols_added = True, 0
        while not_blank and symbols_added < max_symbols:
            logits = model.logits(encoded[:, frame : frame + 1], prediction)[0]
            choice = int(logits.argmax())
            if choice == model.blank_id:
                not_blank = False
            else:
                tokens.append(Token(choice, frame))
                prediction = model.advance(prediction, choice)
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
    found, start = [], 0
    for size in chunks:
        found += decoder.decode(encoded[:, start : start + size])
        start += size
    assert found == expected
    assert model.advances == len(expected)
    assert model.joints <= len(expected) + sum(size > 0 for size in chunks)


def test_observer_sees_every_decision() -> None:
    model = RandomModel(3, 1.0)
    encoded = model.random.normal(size=(1, 20, DIM)).astype(np.float32)
    seen: list[tuple[int, int]] = []

    def observe(frame: int, logits: Array, choice: int) -> None:
        assert logits.shape == (VOCABULARY + 1,)
        assert int(logits.argmax()) == choice
        seen.append((frame, choice))

    decoder = GreedyDecoder(model, 4, observe)
    tokens = decoder.decode(encoded[:, :7]) + decoder.decode(encoded[:, 7:])
    assert [Token(c, f) for f, c in seen if c != model.blank_id] == tokens
    blanks = [f for f, c in seen if c == model.blank_id]
    full = [f for f in range(20) if sum(token.frame == f for token in tokens) == 4]
    assert sorted(blanks + full) == list(range(20))
    assert blanks
    assert full


def test_reset_starts_again() -> None:
    model = RandomModel(4, 0.5)
    encoded = model.random.normal(size=(1, 12, DIM)).astype(np.float32)
    decoder = GreedyDecoder(model, 3)
    first = decoder.decode(encoded)
    assert first
    decoder.reset()
    assert decoder.decode(encoded) == first


@pytest.mark.parametrize("max_symbols", [1, 2, 10])
def test_a_frame_that_never_says_blank_ends(max_symbols: int) -> None:
    model = RandomModel(5, -1e9)
    tokens = GreedyDecoder(model, max_symbols).decode(np.zeros((1, 4, DIM), np.float32))
    assert [token.frame for token in tokens] == np.repeat(range(4), max_symbols).tolist()
