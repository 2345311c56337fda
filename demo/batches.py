"""The order of training: which clips are heard together at which step, from the seed alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sentencepiece import SentencePieceProcessor
from torch import Tensor

from demo.augment import augment
from demo.features import read_shard

#: Padding of phone labels, which the loss passes over.
UNKNOWN_PHONE = -100
#: Mel frames for each encoder frame, and phone labels for each encoder frame.
SUBSAMPLING, LABELS = 8, 2
FRAMES_PER_SECOND = 100


@dataclass(frozen=True)
class Item:
    """One training clip."""

    mel: np.ndarray
    tokens: list[int]
    speaker: str
    phones: np.ndarray | None
    synthetic: bool


@dataclass(frozen=True)
class Batch:
    """Padded tensors of one step."""

    mel: Tensor
    frames: Tensor
    tokens: Tensor
    labels: Tensor
    phones: Tensor


class Corpus:
    """All training clips; their frames stay on disk until a step needs them."""

    def __init__(self, shards: Path, tokenizer: Path) -> None:
        pieces = SentencePieceProcessor(model_file=str(tokenizer / "tokenizer.model"))
        paths = sorted(shards.glob("*.jsonl"))
        loaded = [(path.stem, *read_shard(path)) for path in paths]
        names = {phone for _, _, entries in loaded for entry in entries for phone in entry.phones}
        self.phones = sorted(names)
        codes = {phone: code for code, phone in enumerate(self.phones)}
        self.items: list[Item] = []
        for stem, matrix, entries in loaded:
            for entry in entries:
                tokens = pieces.encode(entry.text)
                if entry.frames < _least_frames(tokens):
                    continue
                labels = np.array([codes[phone] for phone in entry.phones], dtype=np.int64)
                self.items.append(
                    Item(
                        mel=matrix[entry.start : entry.start + entry.frames],
                        tokens=tokens,
                        speaker=entry.speaker,
                        phones=labels if len(labels) else None,
                        synthetic=not stem.startswith("game"),
                    )
                )

    def statistics(self, count: int = 2000) -> tuple[float, float]:
        """Mean and deviation of log-mel over evenly spaced clips."""
        step = max(1, len(self.items) // count)
        sample = np.concatenate([item.mel for item in self.items[::step]]).astype(np.float64)
        return float(sample.mean()), float(sample.std())


def plan(corpus: Corpus, schedule: dict[str, Any], seed: int) -> Iterator[list[list[int]]]:
    """The utterances of every step, each a group of clips: first short clips with phone labels.

    A batch holds utterances of similar length, a fixed number of seconds of padded audio in all,
    so its cost is steady.
    """
    start, rest = schedule["start"], schedule["rest"]
    first = int(start["until"] * schedule["steps"])
    limit = start["clip_seconds"] * FRAMES_PER_SECOND
    short = [
        index
        for index, item in enumerate(corpus.items)
        if item.phones is not None and len(item.mel) <= limit
    ]
    yield from _batches(corpus, short, start, first, (seed, 0))
    everything = list(range(len(corpus.items)))
    yield from _batches(corpus, everything, rest, schedule["steps"] - first, (seed, 1))


def _batches(
    corpus: Corpus, clips: list[int], stage: dict[str, Any], count: int, seed: tuple[int, int]
) -> Iterator[list[list[int]]]:
    rng = np.random.default_rng(seed)
    budget = stage["batch_seconds"] * FRAMES_PER_SECOND
    while count > 0:
        groups = list(_groups(corpus, clips, stage, rng))
        frames = [sum(len(corpus.items[clip].mel) for clip in group) for group in groups]
        batches: list[list[list[int]]] = [[]]
        longest = 0
        for index in np.argsort(frames * rng.uniform(0.9, 1.1, len(frames))):
            longest = max(longest, frames[index])
            if batches[-1] and (len(batches[-1]) + 1) * longest > budget:
                batches.append([])
                longest = frames[index]
            batches[-1].append(groups[index])
        for index in rng.permutation(len(batches))[:count]:
            yield batches[index]
        count -= len(batches)


def _groups(
    corpus: Corpus, clips: list[int], stage: dict[str, Any], rng: np.random.Generator
) -> Iterator[list[int]]:
    """Clips in random order, some joined with the speaker's next one.

    Most clips are shorter than what the encoder remembers; without joined ones the model would
    never meet its own full cache.
    """
    waiting: dict[str, list[int]] = {}
    for clip in rng.permutation(clips).tolist():
        speaker = corpus.items[clip].speaker
        group = [*waiting.pop(speaker, []), clip]
        frames = sum(len(corpus.items[member].mel) for member in group)
        short = frames < stage["joined_seconds"] * FRAMES_PER_SECOND
        if short and rng.random() < stage["joined_share"]:
            waiting[speaker] = group
        else:
            yield group
    yield from waiting.values()


def _join(items: list[Item]) -> Item:
    """The clips one after the other; phones only where all are known."""
    if len(items) == 1:
        return items[0]
    phones = [item.phones for item in items if item.phones is not None]
    return Item(
        mel=np.concatenate([item.mel for item in items]),
        tokens=[token for item in items for token in item.tokens],
        speaker=items[0].speaker,
        phones=np.concatenate(phones) if len(phones) == len(items) else None,
        synthetic=items[0].synthetic,
    )


def assemble(
    corpus: Corpus,
    groups: list[list[int]],
    rng: np.random.Generator,
    change: bool,
    stretch_known: bool,
) -> Batch:
    """Load, join, augment and pad the clips of one step.

    `stretch_known` lets the tempo of clips with phone labels change too, which voids the labels.
    """
    items = [_join([corpus.items[clip] for clip in group]) for group in groups]
    mels, phones = [], []
    for item in items:
        mel = np.asarray(item.mel, dtype=np.float32)
        stretch = change and (item.phones is None or stretch_known)
        if change:
            least = _least_frames(item.tokens)
            mel = augment(mel, rng, narrow=item.synthetic, stretch=stretch, at_least=least)
        mels.append(mel)
        phones.append(None if stretch else item.phones)
    frames = torch.tensor([len(mel) for mel in mels])
    padded = np.zeros((len(mels), int(frames.max()), mels[0].shape[1]), dtype=np.float32)
    for row, mel in zip(padded, mels, strict=True):
        row[: len(mel)] = mel
    tokens = [torch.tensor(item.tokens) for item in items]
    return Batch(
        mel=torch.from_numpy(padded).transpose(1, 2),
        frames=frames,
        tokens=torch.nn.utils.rnn.pad_sequence(tokens, batch_first=True),
        labels=torch.tensor([len(row) for row in tokens]),
        phones=_align(phones, -(-padded.shape[1] // SUBSAMPLING) + 1),
    )


def _least_frames(tokens: list[int]) -> int:
    """CTC needs a frame for each piece and one more between equal neighbours."""
    return SUBSAMPLING * (len(tokens) + 4)


def _align(phones: list[np.ndarray | None], frames: int) -> Tensor:
    """Phone labels of the 80 ms before each encoder frame: frame t sees mel frames up to 8t."""
    aligned = np.full((len(phones), frames * LABELS), UNKNOWN_PHONE)
    for row, labels in zip(aligned, phones, strict=True):
        if labels is not None:
            row[LABELS : LABELS + len(labels)] = labels[: frames * LABELS - LABELS]
    return torch.from_numpy(aligned).view(len(phones), frames, LABELS)
