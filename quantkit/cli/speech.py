"""The command that transcribes."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from quantkit.cli.app import app
from quantkit.cli.artifact import open_artifact
from quantkit.core.errors import InputError
from quantkit.core.speech import read_texts
from quantkit.terminal.console import Partial, complain, say, say_json


@app.command
def transcribe(
    artifact: str,
    /,
    *audio: Path,
    json: Annotated[bool, Parameter(negative="")] = False,
    realtime: Annotated[bool, Parameter(negative="")] = False,
    streams: int = 1,
    threads: int | None = None,
    prepare: Annotated[bool, Parameter(negative="")] = False,
    check: Annotated[bool, Parameter(negative="")] = False,
    references: Path | None = None,
) -> int:
    """Stream audio files through an artifact.

    Args:
        artifact: the artifact directory, or hf://ORGANISATION/NAME[@REVISION].
        audio: files of any sample rate and channel count.
        json: one JSON object a line and file, with token times.
        realtime: take the audio as slowly as it was spoken.
        streams: files at a time; together they take less time than one after the other.
        threads: of the encoder; default what ONNX Runtime chooses.
        prepare: keep the graphs in ARTIFACT/.prepared as ONNX Runtime packed them, for later runs
            and other processes to map into memory.
        check: compare every byte of the artifact with its manifest first; otherwise graphs,
            settings and tokens, and of the weights their size.
        references: a speech manifest whose texts are printed above the decoded ones.
    """
    from quantkit.stream import Transcriber

    if not audio:
        raise InputError("transcribe: found no audio file, accepted: one or more after ARTIFACT")
    if threads is not None and threads < 1:
        raise InputError(f"--threads: found {threads}, accepted: 1 or more")
    if streams < 1:
        raise InputError(f"--streams: found {streams}, accepted: 1 or more")
    if realtime and streams > 1:
        raise InputError(f"--realtime: found with --streams {streams}, accepted: one at a time")
    texts = read_texts(references) if references else {}
    transcriber = Transcriber.load(open_artifact(artifact), threads, prepare=prepare, check=check)
    if streams == 1:
        results = _one_by_one(transcriber, audio, realtime=realtime, partial=not json)
    else:
        results = _together(transcriber, audio, streams)
    code = 0
    for path, result in zip(audio, results, strict=True):
        if isinstance(result, InputError):
            complain(str(result))
            code = result.exit_code
            continue
        if json:
            say_json(result)
        elif path.resolve() in texts:
            say(f"{path}\n  said     {texts[path.resolve()]}\n  decoded  {result['text']}")
        else:
            name = f"{path}: " if len(audio) > 1 else ""
            say(f"{name}{result['text']}")
    return code


def _one_by_one(
    transcriber: Any, audio: Sequence[Path], *, realtime: bool, partial: bool
) -> Iterator[dict[str, Any] | InputError]:
    shown = Partial(wanted=partial)
    for path in audio:
        try:
            result: dict[str, Any] | InputError = _transcribe(
                transcriber, path, shown, realtime=realtime
            )
        except InputError as error:
            result = error
        shown.clear()
        yield result


def _together(
    transcriber: Any, audio: Sequence[Path], streams: int
) -> Iterator[dict[str, Any] | InputError]:
    for path, heard in zip(audio, transcriber.transcribe_many(audio, streams), strict=True):
        yield heard if isinstance(heard, InputError) else _line(path, heard)


def _transcribe(
    transcriber: Any, path: Path, partial: Partial, *, realtime: bool
) -> dict[str, Any]:
    """One file's line; its `rtfx` counts the time at work, not the pauses of realtime."""
    from quantkit.stream import Transcript, paced, read_blocks

    rate = transcriber.settings.sample_rate
    stream = transcriber.stream()
    blocks = read_blocks(path, rate, block_s=0.1)
    busy = 0.0
    for block in paced(blocks, rate) if realtime else blocks:
        began = time.perf_counter()
        if stream.push(block):
            partial.show(stream.text)
        busy += time.perf_counter() - began
    began = time.perf_counter()
    stream.flush()
    busy += time.perf_counter() - began
    tokens = transcriber.timed(stream.tokens)
    return _line(path, Transcript(stream.text, tokens, stream.duration_s, busy))


def _line(path: Path, heard: Any) -> dict[str, Any]:
    """One file's line of `--json`."""
    from dataclasses import asdict

    return {
        "file": str(path),
        "duration_s": heard.duration_s,
        "text": heard.text,
        "tokens": [asdict(token) for token in heard.tokens],
        "rtfx": heard.rtfx,
    }
