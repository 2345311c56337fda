"""`python -m demo.evaluate`: stream the held-out sets through NeMo and write demo/results.json."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import lru_cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import kaldialign
import numpy as np
import soundfile
import torch
from nemo.collections.asr.models import ASRModel
from nemo.collections.asr.parts.utils.streaming_utils import CacheAwareStreamingAudioBuffer
from scipy.stats import bootstrap

from demo import config as settings

#: Streams that advance together. They do not influence each other, but for one detail of NeMo's:
#: it drops a final piece of fewer than 8 mel frames unless a longer stream goes on beside it.
STREAMS = 128


def main() -> None:
    """Word error rates, with 95 % intervals, of every set at every context of the model."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--model", type=Path, default=settings.HERE / "demo.nemo")
    parser.add_argument("--out", type=Path, default=settings.HERE / "results.json")
    arguments = parser.parse_args()
    config = settings.load()
    contexts = config["model"]["encoder"]["att_context_size"]
    results: dict[str, Any] = {}
    cores = len(os.sched_getaffinity(0))
    with ProcessPoolExecutor(cores, get_context("spawn")) as pool:
        for name in config["card"]["sets"]:
            folder = settings.cache(config) / "eval" / name
            rows = [json.loads(line) for line in (folder / "manifest.jsonl").open()]
            rows.sort(key=lambda row: row["duration_s"])
            results[name] = {
                "utterances": len(rows),
                "seconds": round(sum(row["duration_s"] for row in rows)),
                "words": sum(len(row["text"].split()) for row in rows),
                "wer": {},
            }
            tasks = [
                pool.submit(_transcribe, arguments.model, folder, rows, context)
                for context in contexts
            ]
            for context, task in zip(contexts, tasks, strict=True):
                rate = word_error_rate([row["text"] for row in rows], task.result(), config["seed"])
                results[name]["wer"][str(context)] = rate
                print(name, context, rate, flush=True)
    arguments.out.write_text(json.dumps(results, indent=2) + "\n")


@lru_cache
def _model(path: Path) -> ASRModel:
    """One model with one thread for each process."""
    torch.set_num_threads(1)
    return ASRModel.restore_from(str(path), map_location="cpu").eval()


def _transcribe(
    model: Path, folder: Path, rows: list[dict[str, Any]], context: list[int]
) -> list[str]:
    return list(transcribe(_model(model), folder, rows, context))


@torch.inference_mode()
def transcribe(
    model: ASRModel, folder: Path, rows: list[dict[str, Any]], context: list[int]
) -> Iterator[str]:
    """Texts of the clips through NeMo's cache-aware streaming, its first chunk included."""
    model.encoder.set_default_att_context_size(context)
    model.encoder.setup_streaming_params(att_context_size=context)
    for start in range(0, len(rows), STREAMS):
        buffer = CacheAwareStreamingAudioBuffer(model)
        for row in rows[start : start + STREAMS]:
            samples, _ = soundfile.read(folder / row["audio"], dtype="float32")
            buffer.append_audio(samples)
        yield from _stream(model, buffer)


def _stream(model: ASRModel, buffer: CacheAwareStreamingAudioBuffer) -> list[str]:
    caches = model.encoder.get_initial_cache_state(batch_size=len(buffer.streams_length))
    hypotheses, texts = None, None
    for number, (mel, lengths) in enumerate(buffer):
        _, texts, *caches, hypotheses = model.conformer_stream_step(
            processed_signal=mel,
            processed_signal_length=lengths,
            cache_last_channel=caches[0],
            cache_last_time=caches[1],
            cache_last_channel_len=caches[2],
            keep_all_outputs=buffer.is_buffer_empty(),
            previous_hypotheses=hypotheses,
            drop_extra_pre_encoded=(
                model.encoder.streaming_cfg.drop_extra_pre_encoded if number else 0
            ),
        )
    return [hypothesis.text for hypothesis in texts or []]


def word_error_rate(references: list[str], texts: list[str], seed: int) -> dict[str, float]:
    """Pooled rate in per cent, its parts, and a bootstrap interval over utterances."""
    pairs = [
        kaldialign.edit_distance(reference.split(), text.split())
        for reference, text in zip(references, texts, strict=True)
    ]
    errors = np.array([pair["total"] for pair in pairs])
    words = np.array([len(reference.split()) for reference in references])
    interval = bootstrap(
        (errors, words),
        lambda e, w, axis: e.sum(axis) / w.sum(axis),
        paired=True,
        vectorized=True,
        n_resamples=5000,
        method="percentile",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    parts = {
        name: sum(pair[key] for pair in pairs) / words.sum()
        for name, key in (("insertions", "ins"), ("deletions", "del"), ("substitutions", "sub"))
    }
    rates = {"wer": errors.sum() / words.sum(), "low": interval.low, "high": interval.high} | parts
    return {name: round(100 * float(rate), 2) for name, rate in rates.items()}


if __name__ == "__main__":
    main()
