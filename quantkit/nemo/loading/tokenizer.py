"""The SentencePiece model of a checkpoint, checked before NeMo sees it."""

from __future__ import annotations

import sentencepiece

from quantkit.core.errors import InputError
from quantkit.core.text import one_line
from quantkit.runtime.tokens import CONTROL

# 250,000 pieces take 5 MB.
_MOST_BYTES = 32 * 2**20


def read_pieces(model: memoryview, file: str) -> list[str]:
    """The pieces of a serialized SentencePiece model, in order.

    Raises:
        InputError: it is no such model, or holds a piece twice, one that would be a reference in
            NeMo's configuration, or one that tokens.txt cannot hold.
    """
    if len(model) > _MOST_BYTES:
        raise InputError(f"{file}: takes {len(model)} bytes, accepted: up to {_MOST_BYTES}")
    processor = sentencepiece.SentencePieceProcessor()
    try:
        processor.LoadFromSerializedProto(bytes(model))
        pieces = [processor.id_to_piece(index) for index in range(processor.get_piece_size())]
    except (RuntimeError, TypeError, ValueError) as error:
        reason = one_line(str(error))[:200]
        raise InputError(f"{file}: is no SentencePiece model ({reason})") from error
    if not pieces:
        raise InputError(f"{file}: is no SentencePiece model (it has no pieces)")
    if len(set(pieces)) < len(pieces):
        raise InputError(f"{file}: holds a piece twice")
    for index, piece in enumerate(pieces):
        if not piece or CONTROL.search(piece) or "${" in piece or piece == "???":
            raise InputError(
                f"{file}: piece {index} is {one_line(piece)[:80]!r}; accepted: text without "
                "control characters that is no reference of OmegaConf"
            )
    return pieces
