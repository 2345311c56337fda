"""The vocabulary of an artifact: token ids to pieces, and pieces to text."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from quantkit.core.errors import InputError

TOKENS_FILE = "tokens.txt"
BLANK = "<blk>"

#: SentencePiece's mark for a space, LOWER ONE EIGHTH BLOCK.
SPACE = "\u2581"
#: What SentencePiece decodes an unknown piece to.
UNKNOWN = {"<unk>": " \u2047 "}
#: How Python marks a byte that is not UTF-8.
_ESCAPED = re.compile("[\udc80-\udcff]")
_BYTE = re.compile(r"<0x([0-9A-F]{2})>")


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
            last = repr(lines[-1]) if lines else "nothing"
            raise InputError(f"{path}: ends with {last}; the last line must be '{BLANK} <id>'.")
        return cls(tuple(pieces[:-1]))

    def text(self, ids: Iterable[int]) -> str:
        """The text of token ids, as SentencePiece decodes them.

        Runs of byte pieces become UTF-8; each byte that is not valid becomes U+FFFD.
        """
        parts: list[str] = []
        run = bytearray()
        for piece in (self.pieces[index] for index in ids):
            byte = _BYTE.fullmatch(piece)
            if byte:
                run.append(int(byte.group(1), 16))
                continue
            if run:
                parts.append(_utf8(run))
                run.clear()
            # SentencePiece puts one space before the text, which its decoder takes away again.
            visible = piece if any(parts) else piece.removeprefix(SPACE)
            parts.append(UNKNOWN.get(visible, visible.replace(SPACE, " ")))
        parts.append(_utf8(run))
        return "".join(parts)


def _utf8(run: bytearray) -> str:
    return _ESCAPED.sub("\ufffd", run.decode("utf-8", errors="surrogateescape"))


def _piece(line: str, number: int, path: Path) -> str:
    piece, _, index = line.rpartition(" ")
    if not piece or index != str(number):
        raise InputError(
            f"{path}:{number + 1}: is {line!r}; a piece, a space and the id {number} are expected."
        )
    return piece
