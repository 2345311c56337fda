"""The demo's 256 BPE pieces, without any trace of the machine that trained them."""

from __future__ import annotations

import io
from pathlib import Path

import sentencepiece
from sentencepiece import sentencepiece_model_pb2


def train_tokenizer(texts: list[str], pieces: int, folder: Path) -> None:
    """Write tokenizer.model, tokenizer.vocab and vocab.txt as NeMo's BPE tokenizers have them."""
    buffer = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(texts),
        model_writer=buffer,
        model_type="bpe",
        vocab_size=pieces,
        character_coverage=1.0,
        bos_id=-1,
        eos_id=-1,
        num_threads=1,
        minloglevel=2,
    )
    model = sentencepiece_model_pb2.ModelProto.FromString(buffer.getvalue())
    del model.trainer_spec.input[:]
    model.trainer_spec.model_prefix = ""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tokenizer.model").write_bytes(model.SerializeToString(deterministic=True))
    scored = (f"{piece.piece}\t{piece.score:g}\n" for piece in model.pieces)
    (folder / "tokenizer.vocab").write_text("".join(scored))
    plain = (f"{piece.piece}\n" for piece in model.pieces if piece.piece != "<unk>")
    (folder / "vocab.txt").write_text("".join(plain))
