"""A BPE tokenizer of any size, trained on made-up words, the same on every machine."""

from __future__ import annotations

import io
import itertools
import random
from pathlib import Path
from typing import Any

import sentencepiece
from sentencepiece import sentencepiece_model_pb2

_SEED = 20261123
_ONSETS = [
    "b",
    "bl",
    "br",
    "ch",
    "d",
    "dr",
    "f",
    "fl",
    "g",
    "gr",
    "h",
    "j",
    "k",
    "l",
    "m",
    "n",
    "p",
    "pl",
    "r",
    "s",
    "sh",
    "st",
    "t",
    "th",
    "tr",
    "v",
    "w",
    "y",
    "z",
]
_NUCLEI = ["a", "e", "i", "o", "u", "ai", "ea", "ee", "oo", "ou"]
_CODAS = ["", "", "d", "k", "l", "m", "n", "nd", "ng", "r", "s", "st", "t"]
_WORDS, _SENTENCES = 4000, 3000
#: NeMo looks for these names in a tokenizer directory.
MODEL, VOCABULARY, SCORES = "tokenizer.model", "vocab.txt", "tokenizer.vocab"


def tokenizer_model(pieces: int) -> bytes:
    """A serialized SentencePiece BPE model with `pieces` pieces, the unknown one included."""
    buffer = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(_sentences()),
        model_writer=buffer,
        model_type="bpe",
        vocab_size=pieces,
        character_coverage=1.0,
        normalization_rule_name="identity",
        bos_id=-1,
        eos_id=-1,
        num_threads=1,
        minloglevel=2,
    )
    serialized: bytes = _parsed(buffer.getvalue()).SerializeToString(deterministic=True)
    return serialized


def tokenizer_files(model: bytes) -> dict[str, bytes]:
    """The files of a NeMo tokenizer directory, by name."""
    pieces = _parsed(model).pieces
    scored = "".join(f"{piece.piece}\t{piece.score:g}\n" for piece in pieces)
    plain = "".join(f"{piece.piece}\n" for piece in pieces if piece.piece != "<unk>")
    return {MODEL: model, VOCABULARY: plain.encode(), SCORES: scored.encode()}


def write_tokenizer(model: bytes, folder: Path) -> None:
    """Write a tokenizer as a directory that NeMo reads."""
    for name, content in tokenizer_files(model).items():
        (folder / name).write_bytes(content)


def _parsed(model: bytes) -> Any:
    return sentencepiece_model_pb2.ModelProto.FromString(model)  # type: ignore[attr-defined]


def _sentences() -> list[str]:
    chance = random.Random(_SEED)
    syllables = ["".join(parts) for parts in itertools.product(_ONSETS, _NUCLEI, _CODAS)]
    words = [
        "".join(chance.choices(syllables, k=chance.choice((1, 1, 2, 2, 3)))) for _ in range(_WORDS)
    ]
    # Word frequencies fall as in any language, so that merges have a clear order.
    weights = [1 / (rank + 1) for rank in range(_WORDS)]
    return [" ".join(chance.choices(words, weights, k=12)) for _ in range(_SENTENCES)]
