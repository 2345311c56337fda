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
from torch.utils.data import DataLoader, Dataset

from demo.augment import augment, pace
from demo.features import FRAMES_PER_SECOND, read_shard

#: Padding of phone labels, which the loss passes over.
UNKNOWN_PHONE = -100
#: Mel frames for each encoder frame, and phone labels for each encoder frame.
SUBSAMPLING, LABELS = 8, 2
#: Mel frames for each phone label.
LABEL_FRAMES = SUBSAMPLING // LABELS

#: Sources without anything above 5.5 kHz.
NARROW = {"game", "sky"}

#: Clips that are heard one after the other as one utterance.
Group = list[int]


@dataclass(frozen=True)
class Item:
    """One training clip, or several joined; `phones` has UNKNOWN_PHONE where nobody knows."""

    mel: np.ndarray
    tokens: list[int]
    source: str
    speaker: str
    phones: np.ndarray


@dataclass(frozen=True)
class Batch:
    """Padded tensors."""

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
        loaded = [(path.stem.rpartition("-")[0], *read_shard(path)) for path in paths]
        names = {phone for _, _, entries in loaded for entry in entries for phone in entry.phones}
        self.phones = sorted(names)
        codes = {phone: code for code, phone in enumerate(self.phones)}
        self.items: list[Item] = []
        for source, matrix, entries in loaded:
            for entry in entries:
                tokens = pieces.encode(entry.text)
                if entry.frames < _least_frames(tokens):
                    continue
                phones = np.full(entry.frames // LABEL_FRAMES, UNKNOWN_PHONE)
                known = [codes[phone] for phone in entry.phones]
                phones[: len(known)] = known
                mel = matrix[entry.start : entry.start + entry.frames]
                self.items.append(Item(mel, tokens, source, entry.speaker, phones))

    def statistics(self, count: int = 2000) -> tuple[float, float]:
        """Mean and deviation of log-mel over evenly spaced clips."""
        step = max(1, len(self.items) // count)
        sample = np.concatenate([item.mel for item in self.items[::step]]).astype(np.float64)
        return float(sample.mean()), float(sample.std())

    def joined(self, group: Group) -> Item:
        """The clips of a group, one after the other."""
        items = [self.items[clip] for clip in group]
        if len(items) == 1:
            return items[0]
        return Item(
            mel=np.concatenate([item.mel for item in items]),
            tokens=[token for item in items for token in item.tokens],
            source=items[0].source,
            speaker=items[0].speaker,
            phones=np.concatenate([item.phones for item in items]),
        )


def plan(corpus: Corpus, schedule: dict[str, Any], seed: int) -> Iterator[list[list[Group]]]:
    """The parts of every step, each a list of utterances.

    A part holds utterances of similar length, a fixed number of seconds of padded audio in all,
    so its cost is steady.
    """
    rng = np.random.default_rng((seed, 1))
    repeats = schedule["repeats"]
    clips = np.repeat(
        np.arange(len(corpus.items)), [repeats.get(item.source, 1) for item in corpus.items]
    )
    parts: list[list[Group]] = []
    for _ in range(schedule["steps"]):
        while len(parts) < schedule["parts"]:
            parts += _epoch(corpus, clips, schedule, rng)
        yield [parts.pop() for _ in range(schedule["parts"])]


def _epoch(
    corpus: Corpus, clips: np.ndarray, schedule: dict[str, Any], rng: np.random.Generator
) -> list[list[Group]]:
    budget = schedule["part_seconds"] * FRAMES_PER_SECOND
    groups = list(_groups(corpus, clips, schedule, rng))
    frames = [sum(len(corpus.items[clip].mel) for clip in group) for group in groups]
    parts: list[list[Group]] = [[]]
    longest = 0
    for index in np.argsort(frames * rng.uniform(0.9, 1.1, len(frames))):
        longest = max(longest, frames[index])
        if parts[-1] and (len(parts[-1]) + 1) * longest > budget:
            parts.append([])
            longest = frames[index]
        parts[-1].append(groups[index])
    return [parts[index] for index in rng.permutation(len(parts))]


def _groups(
    corpus: Corpus, clips: np.ndarray, schedule: dict[str, Any], rng: np.random.Generator
) -> Iterator[Group]:
    """Clips in random order, some joined with the speaker's next one.

    Most clips are shorter than what the encoder remembers; without joined ones the model would
    never meet its own full cache.
    """
    waiting: dict[str, Group] = {}
    for clip in rng.permutation(clips).tolist():
        speaker = corpus.items[clip].speaker
        group = [*waiting.pop(speaker, []), clip]
        frames = sum(len(corpus.items[member].mel) for member in group)
        short = frames < schedule["joined_seconds"] * FRAMES_PER_SECOND
        if short and rng.random() < schedule["joined_share"]:
            waiting[speaker] = group
        else:
            yield group
    yield from waiting.values()


class Parts(Dataset[Batch]):
    """Every part of a training, by its step and its number there, as the batch that it becomes."""

    def __init__(self, corpus: Corpus, steps: list[list[list[Group]]], seed: int) -> None:
        self.corpus, self.steps, self.seed = corpus, steps, seed

    def __getitem__(self, place: tuple[int, int]) -> Batch:
        step, part = place
        rng = np.random.default_rng((self.seed, step, part))
        return assemble(self.corpus, self.steps[step][part], rng)

    def in_order(self, places: list[tuple[int, int]], workers: int) -> Iterator[Batch]:
        """The batches of these places, which `workers` other processes prepare ahead."""
        return iter(DataLoader(self, batch_size=None, sampler=places, num_workers=workers))


def assemble(corpus: Corpus, groups: list[Group], rng: np.random.Generator) -> Batch:
    """Load, join, augment and pad the utterances of one part of a step."""
    items = [corpus.joined(group) for group in groups]
    mels, phones = [], []
    for item in items:
        mel = np.asarray(item.mel, dtype=np.float32)
        places = pace(len(mel), _least_frames(item.tokens), rng)
        babble = np.asarray(corpus.items[rng.integers(len(corpus.items))].mel, dtype=np.float32)
        mels.append(augment(mel, rng, item.source not in NARROW, places, babble))
        middles = places[LABEL_FRAMES // 2 :: LABEL_FRAMES].astype(np.int64) // LABEL_FRAMES
        phones.append(item.phones[np.minimum(middles, len(item.phones) - 1)])
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
    """CTC needs a frame for each piece and one more between equal neighbors."""
    return SUBSAMPLING * (len(tokens) + 4)


def _align(phones: list[np.ndarray], frames: int) -> Tensor:
    """Phone labels of the 80 ms before each encoder frame: frame t sees mel frames up to 8t."""
    aligned = np.full((len(phones), frames * LABELS), UNKNOWN_PHONE)
    for row, labels in zip(aligned, phones, strict=True):
        row[LABELS : LABELS + len(labels)] = labels[: frames * LABELS - LABELS]
    return torch.from_numpy(aligned).view(len(phones), frames, LABELS)
