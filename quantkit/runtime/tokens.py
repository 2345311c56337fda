"""The vocabulary of an artifact: token ids to pieces, and pieces to text."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from quantkit.core.errors import InputError
from quantkit.core.text import brief

TOKENS_FILE = "tokens.txt"
BLANK = "<blk>"

#: SentencePiece's mark for a space, LOWER ONE EIGHTH BLOCK.
SPACE = "\u2581"
#: What SentencePiece decodes an unknown piece to.
UNKNOWN = {"<unk>": " \u2047 "}
#: How Python marks a byte that is not UTF-8.
_ESCAPED = re.compile("[\udc80-\udcff]")
_BYTE = re.compile(r"<0x([0-9A-F]{2})>")
#: What a piece cannot have: it would act on the terminal that shows the text.
CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")


@dataclass(frozen=True)
class Vocabulary:
    """SentencePiece pieces in id order, the blank left out."""

    pieces: tuple[str, ...]

    @classmethod
    def load(cls, path: Path) -> Vocabulary:
        """Read a tokens.txt, one "piece id" a line in id order with the blank last.

        Raises:
            InputError: the file is missing, or the line named is not of that form.
        """
        path = path / TOKENS_FILE if path.is_dir() else path
        try:
            lines = path.read_text(encoding="utf-8").split("\n")
        except OSError as error:
            raise InputError(
                f"{path}: cannot be read ({error.strerror}). An artifact directory as written by "
                f"'quantkit build' holds {TOKENS_FILE}."
            ) from error
        except UnicodeDecodeError as error:
            raise InputError(f"{path}: is not UTF-8 text ({error.reason}).") from error
        if lines[-1] == "":
            lines.pop()
        pieces = [_piece(line, number, path) for number, line in enumerate(lines)]
        if not pieces or pieces[-1] != BLANK:
            last = brief(repr(lines[-1]), 200) if lines else "nothing"
            raise InputError(f"{path}: ends with {last}; the last line must be '{BLANK} <id>'.")
        return cls(tuple(pieces[:-1]))

    def text(self, ids: Iterable[int]) -> str:
        """The text of token ids, as SentencePiece decodes them.

        Runs of byte pieces become UTF-8; each byte that is not valid becomes U+FFFD.
        """
        spelling = Spelling(self)
        spelling.add(ids)
        return spelling.text


class Spelling:
    """The text of tokens that come one after the other, each of which is looked at once."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._pieces = vocabulary.pieces
        self._known = ""
        self._run = bytearray()

    def add(self, ids: Iterable[int]) -> None:
        """Take the next tokens."""
        parts: list[str] = []
        for piece in (self._pieces[index] for index in ids):
            byte = _BYTE.fullmatch(piece)
            if byte:
                self._run.append(int(byte.group(1), 16))
                continue
            if self._run:
                parts.append(_utf8(self._run))
                self._run.clear()
            # SentencePiece puts one space before the text, which its decoder takes away again.
            begun = self._known or any(parts)
            visible = piece if begun else piece.removeprefix(SPACE)
            parts.append(UNKNOWN.get(visible, visible.replace(SPACE, " ")))
        self._known += "".join(parts)

    @property
    def text(self) -> str:
        """The text so far."""
        return self._known + _utf8(self._run)


def _utf8(run: bytearray) -> str:
    return _ESCAPED.sub("\ufffd", run.decode("utf-8", errors="surrogateescape"))


def _piece(line: str, number: int, path: Path) -> str:
    piece, _, index = line.rpartition(" ")
    if not piece or index != str(number):
        raise InputError(
            f"{path}:{number + 1}: is {brief(repr(line), 200)}; a piece, a space and the id "
            f"{number} are expected."
        )
    if CONTROL.search(piece):
        raise InputError(
            f"{path}:{number + 1}: piece {brief(repr(piece), 200)} has a control character; such "
            f"pieces are written as bytes, <0x1B> say. Build the artifact again."
        )
    return piece
