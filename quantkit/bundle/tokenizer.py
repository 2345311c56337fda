"""A vocabulary as the files that onnxruntime-genai reads tokenizers from."""

from __future__ import annotations

from typing import Any

from quantkit.runtime.tokens import BLANK, SPACE, UNKNOWN, Vocabulary


def tokenizer_files(vocabulary: Vocabulary) -> dict[str, Any]:
    """Contents of tokenizer.json and tokenizer_config.json, by file name.

    The runtime only turns ids into text. It takes a unigram model, whose scores here keep the
    order of the ids; the transducer's blank is its last piece.
    """
    (unknown,) = UNKNOWN
    pieces = [
        [piece, 0.0 if piece == unknown else -float(index)]
        for index, piece in enumerate(vocabulary.pieces)
    ]
    space = {"type": "Replace", "pattern": {"String": " "}, "content": SPACE}
    known = unknown in vocabulary.pieces
    return {
        "tokenizer.json": {
            "version": "1.0",
            "truncation": None,
            "padding": None,
            "added_tokens": [],
            "normalizer": space,
            "pre_tokenizer": None,
            "post_processor": None,
            "decoder": None,
            "model": {
                "type": "Unigram",
                "unk_id": vocabulary.pieces.index(unknown) if known else None,
                "vocab": [*pieces, [BLANK, 0.0]],
                "byte_fallback": False,
            },
        },
        "tokenizer_config.json": {
            "tokenizer_class": "T5Tokenizer",
            "unk_token": unknown,
            "model_max_length": 1024,
        },
    }
