"""Artifacts in the runtimes that serve this model today, against the exports published for them.

`python -m quantkit.bench.clients ARTIFACT... --published DIR` bundles each artifact, runs it in
onnxruntime-genai and sherpa-onnx over real recordings, and prints one row per client and model:
tokens that differ from the native runtime's on the same artifact, word error rate, its paired
difference to the native runtime's with a 95 % interval, time of a chunk, resident memory. DIR is
what `quantkit.bench.incumbent` has built from the same checkpoint and chunk length: Olive's recipe
runs in onnxruntime-genai, ONNX Runtime's dynamic int8 in sherpa-onnx, as published; both are
compared with the native runtime on the first artifact.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import kaldialign

from quantkit.bench.client_runs import ClientRun, run_client, step_ms
from quantkit.bench.published import publish_genai, publish_sherpa
from quantkit.bundle.layouts import bundle_artifact
from quantkit.core.errors import InputError, QuantkitError
from quantkit.core.files import write_text
from quantkit.core.speech import Utterance, read_manifest
from quantkit.verify.intervals import rate_interval
from quantkit.verify.words import word_errors

SPEECH = [
    Path("calibration/asterisk-parity/manifest.jsonl"),
    Path("calibration/game-parity/manifest.jsonl"),
]


@dataclass(frozen=True)
class ClientRow:
    """One client with one model. Rates are of tokens and words, as shares of one."""

    client: str
    model: str
    utterances: int
    token_exact_utterances: int
    token_error_rate: float
    wer: float
    wer_difference: float
    wer_difference_interval: tuple[float, float]
    step_ms: float
    rss_bytes: int


def compare_runs(
    client: str, model: str, run: ClientRun, native: ClientRun, speech: Sequence[Utterance]
) -> ClientRow:
    """A client's row against the native runtime on the same utterances, all of which have texts."""
    tokens = [
        int(kaldialign.edit_distance(ours.tokens, theirs.tokens)["total"])
        for ours, theirs in zip(native.heard, run.heard, strict=True)
    ]
    scored = [
        (word_errors(str(one.text), ours.text)[0], *word_errors(str(one.text), theirs.text))
        for one, ours, theirs in zip(speech, native.heard, run.heard, strict=True)
    ]
    before, after, words = map(list, zip(*scored, strict=True))
    more = [b - a for a, b in zip(before, after, strict=True)]
    return ClientRow(
        client=client,
        model=model,
        utterances=len(speech),
        token_exact_utterances=tokens.count(0),
        token_error_rate=sum(tokens) / sum(len(one.tokens) for one in native.heard),
        wer=sum(after) / sum(words),
        wer_difference=sum(more) / sum(words),
        wer_difference_interval=rate_interval(more, words),
        step_ms=step_ms(run),
        rss_bytes=run.rss_bytes,
    )


def measure(
    artifacts: Sequence[Path], published: Path | None, speech: Sequence[Utterance], threads: int
) -> Iterator[ClientRow]:
    """The rows of the table, one after the other as they are measured."""
    audio = [one.audio for one in speech]
    native: list[ClientRun] = []
    with tempfile.TemporaryDirectory() as scratch:
        for artifact in artifacts:
            bundle = Path(scratch) / artifact.name
            bundle_artifact(artifact, ["genai", "sherpa"], bundle)
            native.append(run_client("native", artifact, audio, threads))
            yield compare_runs("native", artifact.name, native[-1], native[-1], speech)
            for client in ("genai", "sherpa"):
                run = run_client(client, bundle, audio, threads)
                yield compare_runs(client, artifact.name, run, native[-1], speech)
        if published is not None:
            kquant, int8 = Path(scratch) / "kquant", Path(scratch) / "int8"
            publish_genai(published / "kquant", artifacts[0], kquant)
            publish_sherpa(published / "int8", artifacts[0], int8)
            for client, model in (("genai", kquant), ("sherpa", int8)):
                run = run_client(client, model, audio, threads)
                yield compare_runs(client, f"published {model.name}", run, native[0], speech)


def line(row: ClientRow) -> str:
    """One row of a Markdown table."""
    low, high = row.wer_difference_interval
    exact = f"{row.token_exact_utterances} of {row.utterances}"
    wer = f"{row.wer_difference:+.2%} ({low:+.2%} to {high:+.2%})"
    return (
        f"| {row.client} | {row.model} | {exact} | {row.token_error_rate:.2%} | {row.wer:.2%} | "
        f"{wer} | {row.step_ms:.1f} ms | {row.rss_bytes / 1e6:.0f} MB |"
    )


HEAD = (
    "| client | model | same tokens as native | token errors | WER | WER - native (paired 95 %) | "
    "chunk | resident |\n|---|---|--:|--:|--:|--:|--:|--:|"
)


def main(arguments: list[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="quantkit.bench.clients", description=__doc__)
    parser.add_argument("artifact", type=Path, nargs="+")
    parser.add_argument("--published", type=Path, help="what quantkit.bench.incumbent has built")
    parser.add_argument("--speech", type=Path, nargs="+", default=SPEECH, help="speech manifests")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path, help="also write the rows there, one a line")
    given = parser.parse_args(arguments)
    rows = []
    try:
        speech = [one for manifest in given.speech for one in read_manifest(manifest)]
        for one in speech:
            if one.text is None:
                raise InputError(f"{one.audio}: has no text in its manifest, which WER needs")
        sys.stdout.write(f"{HEAD}\n")
        for row in measure(given.artifact, given.published, speech, given.threads):
            sys.stdout.write(f"{line(row)}\n")
            sys.stdout.flush()
            rows.append(row)
    except QuantkitError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    if given.json is not None:
        write_text(given.json, "".join(json.dumps(asdict(row)) + "\n" for row in rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
