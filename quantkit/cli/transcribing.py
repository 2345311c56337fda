"""The command that transcribes."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from quantkit.cli.app import Flag, app, open_artifact
from quantkit.cli.console import Partial, complain, say, say_json
from quantkit.core.errors import InputError
from quantkit.core.text import one_line
from quantkit.speech.manifest import read_texts

#: More threads than this are a slip of the hand, and as many as a process may have in some places.
_MOST_THREADS = 1024


@app.command
def transcribe(
    artifact: str,
    /,
    *audio: Annotated[Path, Parameter(allow_leading_hyphen=True)],
    json: Flag = False,
    realtime: Flag = False,
    streams: int = 1,
    threads: int | None = None,
    prepare: Flag = False,
    check: Flag = False,
    references: Path | None = None,
) -> int:
    """Stream audio files through an artifact.

    Args:
        artifact: the artifact directory, or hf://ORGANISATION/NAME[@REVISION].
        audio: files of any sample rate and channel count; - is standard input, and pipes are
            taken to their end.
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
    from quantkit.runtime.transcriber import Transcriber

    _refuse(audio, threads, streams, realtime=realtime)
    texts = read_texts(references) if references else {}
    transcriber = Transcriber.load(open_artifact(artifact), threads, prepare=prepare, check=check)
    if streams == 1:
        results = _one_by_one(transcriber, audio, realtime=realtime, partial=not json)
    else:
        results = _together(transcriber, audio, streams)
    codes = [0]
    with _notes_shown():
        for path, result in zip(audio, results, strict=True):
            if isinstance(result, InputError):
                complain(str(result))
                codes.append(result.exit_code)
            elif json:
                say_json(result)
            else:
                _print(path, result["text"], texts, named=len(audio) > 1)
    return max(codes)


def _refuse(audio: Sequence[Path], threads: int | None, streams: int, *, realtime: bool) -> None:
    """Refuse what can be seen to be wrong before anything is loaded."""
    if not audio:
        raise InputError("transcribe: found no audio file, accepted: one or more after ARTIFACT")
    for word in map(str, audio):
        # With - for a file, what looks like an option arrives here as well.
        if word.startswith("-") and word != "-" and not Path(word).exists():
            raise InputError(f"{word}: is neither an option of transcribe nor an audio file")
    if threads is not None and not 1 <= threads <= _MOST_THREADS:
        raise InputError(f"--threads: found {threads}, accepted: 1 to {_MOST_THREADS}")
    if streams < 1:
        raise InputError(f"--streams: found {streams}, accepted: 1 or more")
    if realtime and streams > 1:
        raise InputError(f"--realtime: found with --streams {streams}, accepted: one at a time")


def _print(path: Path, text: str, texts: dict[Path, str], *, named: bool) -> None:
    """A file's text, below what was said where that is known."""
    name, text = one_line(str(path)), one_line(text)
    said = texts.get(path.resolve()) if texts else None
    if said is not None:
        say(f"{name}\n  said     {one_line(said)}\n  decoded  {text}")
    else:
        say(f"{name}: {text}" if named else text)


@contextmanager
def _notes_shown() -> Iterator[None]:
    """What the runtime warns of in a file is said as errors are, each time."""
    from quantkit.runtime.audio import AudioWarning
    from quantkit.runtime.stream_state import StreamWarning

    usual = warnings.showwarning

    def show(message: Warning | str, category: type[Warning], *more: Any, **named: Any) -> None:
        if issubclass(category, AudioWarning):
            complain(str(message))
        else:
            usual(message, category, *more, **named)

    with warnings.catch_warnings():
        warnings.simplefilter("always", AudioWarning)
        warnings.simplefilter("ignore", StreamWarning)  # it knows no file: see `lost_frames`
        warnings.showwarning = show
        yield


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
    from quantkit.runtime.audio import read_blocks
    from quantkit.runtime.files import paced

    rate = transcriber.settings.sample_rate
    stream = transcriber.stream()
    blocks = read_blocks(path, rate, block_s=0.1)
    busy = 0.0
    for block in paced(blocks, rate) if realtime else blocks:
        began = time.perf_counter()
        if stream.push(block) and partial.shown:
            partial.show(one_line(stream.text))
        busy += time.perf_counter() - began
    began = time.perf_counter()
    stream.flush()
    busy += time.perf_counter() - began
    return _line(path, transcriber.transcript(stream, blocks, busy))


def _line(path: Path, heard: Any) -> dict[str, Any]:
    """One file's line of `--json`."""
    from dataclasses import asdict

    if heard.lost_frames:
        complain(
            f"{one_line(str(path))}: {heard.lost_frames} encoder frames are not finite numbers: "
            f"left out"
        )
    return {
        "file": str(path),
        "duration_s": heard.duration_s,
        "text": heard.text,
        "tokens": [asdict(token) for token in heard.tokens],
        "rtfx": heard.rtfx,
        "replaced_samples": heard.replaced_samples,
        "lost_frames": heard.lost_frames,
    }
