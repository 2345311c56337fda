"""Artifacts in the runtimes that serve this model today, against the exports published for them.

`python -m benchmarks.clients ARTIFACT... --published DIR` bundles each artifact, runs it in
onnxruntime-genai and sherpa-onnx over real recordings, and prints one row per client and model:
tokens that differ from the native runtime's on the same artifact, word error rate, its paired
differences to the native runtime's and to that of the export published for the same client, with
95 % intervals, time of a chunk, added memory. DIR is what `benchmarks.incumbent` has built from
the same checkpoint and chunk length: Olive's recipe runs in onnxruntime-genai, ONNX Runtime's
dynamic int8 in sherpa-onnx, as published; both are compared with the native runtime on the first
artifact.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import kaldialign

from benchmarks.client_runs import ClientRun, run_client, step_ms
from benchmarks.published import publish_genai, publish_sherpa
from quantkit.bundle.layouts import bundle_artifact
from quantkit.core.errors import InputError, MissingExtraError, QuantkitError
from quantkit.core.files import temporary_directory, write_text
from quantkit.evaluate.bootstrap import rate_interval
from quantkit.evaluate.words import word_errors
from quantkit.speech.manifest import Utterance, read_manifest

SPEECH = [
    Path("calibration/asterisk-parity/manifest.jsonl"),
    Path("calibration/game-parity/manifest.jsonl"),
]


#: The candidate of `benchmarks.incumbent` that is published for each client.
PUBLISHED = {"genai": ("kquant", publish_genai), "sherpa": ("int8", publish_sherpa)}


@dataclass(frozen=True)
class Difference:
    """Of two word error rates on the same utterances, with its 95 % interval; shares of one."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:+.2%} ({self.low:+.2%} to {self.high:+.2%})"


@dataclass(frozen=True)
class ClientRow:
    """One client with one model. Rates are of tokens and words, as shares of one."""

    client: str
    model: str
    utterances: int
    token_exact_utterances: int
    token_error_rate: float
    wer: float
    to_native: Difference
    to_published: Difference | None
    step_ms: float
    rss_bytes: int


def compare_runs(
    client: str,
    model: str,
    run: ClientRun,
    native: ClientRun,
    speech: Sequence[Utterance],
    published: ClientRun | None = None,
) -> ClientRow:
    """A client's row against the native runtime on the same utterances, all of which have texts."""
    tokens = [
        int(kaldialign.edit_distance(ours.tokens, theirs.tokens)["total"])
        for ours, theirs in zip(native.heard, run.heard, strict=True)
    ]
    errors, words = _errors(run, speech)
    return ClientRow(
        client=client,
        model=model,
        utterances=len(speech),
        token_exact_utterances=tokens.count(0),
        token_error_rate=sum(tokens) / sum(len(one.tokens) for one in native.heard),
        wer=sum(errors) / sum(words),
        to_native=_difference(run, native, speech),
        to_published=None if published is None else _difference(run, published, speech),
        step_ms=step_ms(run),
        rss_bytes=run.rss_bytes,
    )


def _errors(run: ClientRun, speech: Sequence[Utterance]) -> tuple[list[int], list[int]]:
    """Word errors and words of each utterance."""
    scored = [
        word_errors(str(one.text), heard.text) for one, heard in zip(speech, run.heard, strict=True)
    ]
    return [one.total for one in scored], [one.words for one in scored]


def _difference(run: ClientRun, other: ClientRun, speech: Sequence[Utterance]) -> Difference:
    (errors, words), (before, _) = _errors(run, speech), _errors(other, speech)
    more = [b - a for a, b in zip(before, errors, strict=True)]
    return Difference(sum(more) / sum(words), *rate_interval(more, words))


def measure(
    artifacts: Sequence[Path], exported: Path | None, speech: Sequence[Utterance], threads: int
) -> Iterator[ClientRow]:
    """The rows of the table, one after the other as they are measured."""
    audio = [one.audio for one in speech]
    published: dict[str, ClientRun] = {}
    with temporary_directory() as scratch:
        native = {one: run_client("native", one, audio, threads) for one in artifacts}
        if exported is not None:
            for client, (model, publish) in PUBLISHED.items():
                publish(exported / model, artifacts[0], scratch / model)
                run = run_client(client, scratch / model, audio, threads)
                yield compare_runs(client, f"published {model}", run, native[artifacts[0]], speech)
                published[client] = run
        for artifact in artifacts:
            bundle = scratch / artifact.name
            bundle_artifact(artifact, ["genai", "sherpa"], bundle)
            ours = native[artifact]
            yield compare_runs("native", artifact.name, ours, ours, speech)
            for client in PUBLISHED:
                run = run_client(client, bundle, audio, threads)
                other = published.get(client)
                yield compare_runs(client, artifact.name, run, ours, speech, other)


def line(row: ClientRow) -> str:
    """One row of a Markdown table."""
    cells = (
        row.client,
        row.model,
        f"{row.token_exact_utterances} of {row.utterances}",
        f"{row.token_error_rate:.2%}",
        f"{row.wer:.2%}",
        row.to_native,
        "" if row.to_published is None else row.to_published,
        f"{row.step_ms:.1f} ms",
        f"{row.rss_bytes / 1e6:.0f} MB",
    )
    return f"| {' | '.join(map(str, cells))} |"


HEAD = (
    "| client | model | same tokens as native | token errors | WER | WER - native (paired 95 %) | "
    "WER - published | chunk | added memory |\n|---|---|--:|--:|--:|--:|--:|--:|--:|"
)


def main(arguments: list[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="benchmarks.clients", description=__doc__)
    parser.add_argument("artifact", type=Path, nargs="+")
    parser.add_argument("--published", type=Path, help="what benchmarks.incumbent has built")
    parser.add_argument("--speech", type=Path, nargs="+", default=SPEECH, help="speech manifests")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path, help="also write the rows there, one a line")
    given = parser.parse_args(arguments)
    rows = []
    try:
        for package in ("onnxruntime_genai", "sherpa_onnx"):
            if importlib.util.find_spec(package) is None:
                raise MissingExtraError(package, "clients")
        speech = [one for manifest in given.speech for one in read_manifest(manifest)]
        for one in speech:
            if one.text is None:
                raise InputError(f"{one.audio}: has no text in its manifest, which WER needs")
            if one.segment is not None:
                raise InputError(f"{one.segment}: accepted: whole files, which every client reads")
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
