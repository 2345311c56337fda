from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quantkit.core.errors import InputError
from quantkit.runtime.tokens import Spelling, Vocabulary


def write(path: Path, text: str) -> Path:
    path.write_bytes(text.encode("utf-8", errors="surrogateescape"))
    return path


@pytest.fixture(scope="module")
def sentencepiece_model(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A small model with byte pieces, trained here."""
    sentencepiece = pytest.importorskip("sentencepiece")
    directory = tmp_path_factory.mktemp("tokenizer")
    text = directory / "text.txt"
    text.write_text("\n".join(f"the cat number {n} sat on a mat" for n in range(300)))
    sentencepiece.SentencePieceTrainer.train(
        input=str(text), model_prefix=str(directory / "m"), vocab_size=310, byte_fallback=True,
        hard_vocab_limit=False, bos_id=-1, eos_id=-1, minloglevel=2,
    )  # fmt: skip
    return sentencepiece.SentencePieceProcessor(model_file=str(directory / "m.model"))


@pytest.fixture(scope="module")
def vocabulary(sentencepiece_model: Any) -> Vocabulary:
    size = sentencepiece_model.get_piece_size()
    return Vocabulary(tuple(sentencepiece_model.id_to_piece(index) for index in range(size)))


@pytest.mark.parametrize("text", ["the cat sat", "naïve café ☃", "a", "日本 mat", "  two  spaces"])
def test_text_comes_back(text: str, sentencepiece_model: Any, vocabulary: Vocabulary) -> None:
    ids = sentencepiece_model.encode(text)
    assert vocabulary.text(ids) == sentencepiece_model.decode(ids)


def test_any_ids_decode_as_sentencepiece_does(
    sentencepiece_model: Any, vocabulary: Vocabulary
) -> None:
    random = np.random.default_rng(2)
    for _ in range(300):
        ids = random.integers(0, len(vocabulary.pieces), random.integers(0, 9)).tolist()
        assert vocabulary.text(ids) == sentencepiece_model.decode(ids), ids


def test_text_that_grows_is_the_text_of_all(vocabulary: Vocabulary) -> None:
    """Byte by byte too: a character is whole when its last byte is there."""
    random = np.random.default_rng(3)
    for _ in range(100):
        ids = random.integers(0, len(vocabulary.pieces), 12).tolist()
        spelling = Spelling(vocabulary)
        for count, index in enumerate(ids, 1):
            spelling.add([index])
            assert spelling.text == vocabulary.text(ids[:count])


def test_text_that_grows_takes_each_token_once(vocabulary: Vocabulary) -> None:
    """200,000 tokens, asked for after each thousand: all of them again and again would be slow."""
    spelling = Spelling(vocabulary)
    began = time.process_time()
    for _ in range(200):
        spelling.add([5] * 1000)
        assert spelling.text
    grown = time.process_time() - began
    began = time.process_time()
    vocabulary.text([5] * 200_000)
    assert grown < 5 * (time.process_time() - began)


def test_reads_pieces_with_odd_characters(tmp_path: Path) -> None:
    path = write(tmp_path / "tokens.txt", "<unk> 0\n\u2581the 1\n\u2028 2\n0 3\n<blk> 4\n")
    assert Vocabulary.load(path).pieces == ("<unk>", "\u2581the", "\u2028", "0")
    assert Vocabulary.load(tmp_path) == Vocabulary.load(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "ends with nothing; the last line must be '<blk> <id>'"),
        ("a 0\nb 1\n", "ends with 'b 1'"),
        ("a 0\nb 2\n<blk> 2\n", r"tokens\.txt:2: is 'b 2'; a piece, a space and the id 1"),
        ("a 0\n\n<blk> 2\n", r"tokens\.txt:2: is ''"),
        ("\udcff 0\n<blk> 1\n", "not UTF-8"),
        ("a 0\n\x1b[2J 1\n<blk> 2\n", r"tokens\.txt:2: piece '\\x1b\[2J' has a control character"),
        ("\x9b 0\n<blk> 1\n", "has a control character"),
        ("a\tb 0\n<blk> 1\n", "has a control character"),
    ],
)
def test_broken_files_are_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Vocabulary.load(write(tmp_path / "tokens.txt", text))


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"tokens\.txt: cannot be read"):
        Vocabulary.load(tmp_path)
