from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime_genai as og
import pytest

from quantkit.bundle.genai import tokenizer_files
from quantkit.runtime.tokens import Vocabulary

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def tokenizer(bundles: dict[str, Path]) -> og.Tokenizer:
    return og.Tokenizer(og.Model(str(bundles["int4"])))


def test_the_client_spells_tokens_as_the_native_runtime_does(
    tokenizer: og.Tokenizer, bundles: dict[str, Path]
) -> None:
    """Every piece, and random runs of them; but for spaces before the first word."""
    vocabulary = Vocabulary.load(bundles["int4"])
    known = np.arange(1, len(vocabulary.pieces))  # 0 is <unk>, which is no word
    chance = np.random.default_rng(0)
    for ids in [known[:, None], chance.choice(known, (200, 12))]:
        for run in ids.tolist():
            stream = tokenizer.create_stream()
            text = "".join(stream.decode(token) for token in run)
            assert text.lstrip() == vocabulary.text(run).lstrip()


def test_every_id_has_a_piece_and_the_blank_is_the_last() -> None:
    files = tokenizer_files(Vocabulary(("<unk>", "\u2581a", "b")))
    model = files["tokenizer.json"]["model"]
    assert [piece for piece, _ in model["vocab"]] == ["<unk>", "\u2581a", "b", "<blk>"]
    assert model["unk_id"] == 0
    scores = [score for _, score in model["vocab"][1:-1]]
    assert scores == sorted(scores, reverse=True)
