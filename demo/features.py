"""Log-mel shards: a float16 matrix of frames, and one line of facts for each clip in it."""

from __future__ import annotations

import json
import multiprocessing
import os
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from demo.speech import read_speech
from demo.synthesize import Phones

#: The front end's hop is 10 ms.
FRAMES_PER_SECOND = 100
#: Phone labels are this far apart: two for each 80 ms encoder frame.
LABEL_SECONDS = 0.04


@dataclass(frozen=True)
class Entry:
    """One clip of a shard: where its frames are, what it says, and its phones where known."""

    text: str
    speaker: str
    start: int
    frames: int
    phones: list[str]


def log_mel(preprocessor: dict[str, Any]) -> Callable[[np.ndarray], np.ndarray]:
    """NeMo's own front end as a function from samples to (frames, mels), without dither."""
    from nemo.collections.asr.modules import AudioToMelSpectrogramPreprocessor

    settings = {key: value for key, value in preprocessor.items() if key != "_target_"}
    module = AudioToMelSpectrogramPreprocessor(**settings).eval()

    def features(samples: np.ndarray) -> np.ndarray:
        audio = torch.from_numpy(np.ascontiguousarray(samples, dtype=np.float32))[None]
        mel, length = module(input_signal=audio, length=torch.tensor([audio.shape[1]]))
        return mel[0, :, : int(length)].T.numpy()

    return features


def phone_labels(phones: Phones, frames: int) -> list[str]:
    """The phone at the middle of every 40 ms step; empty when the times are unknown."""
    if not phones:
        return []
    ends = np.array([end for _, end in phones])
    middles = (np.arange(int(frames / FRAMES_PER_SECOND / LABEL_SECONDS)) + 0.5) * LABEL_SECONDS
    indices = np.minimum(np.searchsorted(ends, middles), len(phones) - 1)
    return [phones[index][0] for index in indices]


def write_shards(config: dict[str, Any], cache: Path) -> None:
    """The features of all training speech that has none yet, on all cores.

    Raises FileNotFoundError where no speech was prepared.
    """
    speech = sorted((cache / "speech").glob("*.jsonl"))
    if not speech:
        raise FileNotFoundError(f"{cache / 'speech'}: empty; run `python -m demo.prepare` first")
    preprocessor = config["model"]["preprocessor"]
    jobs = [(path, cache / "shards" / path.stem, preprocessor) for path in speech]
    jobs = [job for job in jobs if not job[1].with_suffix(".jsonl").exists()]
    with multiprocessing.get_context("spawn").Pool(
        os.cpu_count(), torch.set_num_threads, (1,)
    ) as pool:
        pool.starmap(convert, jobs)


def convert(speech: Path, path: Path, preprocessor: dict[str, Any]) -> None:
    """Write the shard of the Opus file whose index is `speech`."""
    clips = (
        (clip.text, clip.speaker, samples, clip.phones) for clip, samples in read_speech(speech)
    )
    write_shard(path, clips, log_mel(preprocessor))


def write_shard(
    path: Path,
    clips: Iterable[tuple[str, str, np.ndarray, Phones]],
    features: Callable[[np.ndarray], np.ndarray],
) -> None:
    """Write PATH.npy and PATH.jsonl; the second appears last and marks the shard complete."""
    matrices, entries, start = [], [], 0
    for text, speaker, samples, phones in clips:
        matrix = features(samples).astype(np.float16)
        entries.append(Entry(text, speaker, start, len(matrix), phone_labels(phones, len(matrix))))
        matrices.append(matrix)
        start += len(matrix)
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path.with_suffix(".npy"), np.concatenate(matrices))
    partial = path.with_suffix(".part")
    partial.write_text("".join(json.dumps(asdict(entry)) + "\n" for entry in entries))
    partial.rename(path.with_suffix(".jsonl"))


def read_shard(path: Path) -> tuple[np.ndarray, list[Entry]]:
    """The frames (memory-mapped) and the entries of the shard whose index is `path`."""
    entries = [Entry(**json.loads(line)) for line in path.read_text().splitlines()]
    return np.load(path.with_suffix(".npy"), mmap_mode="r"), entries
