"""The command line: parse, call, print. Exit codes: 0 done, 1 gate, 2 input, 3 extra missing."""

from __future__ import annotations

import json as jsons
import os
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Annotated, Any

from cyclopts import App, CycloptsError, Parameter

from quantkit import __version__
from quantkit.core.errors import GateError, InputError, MissingExtraError, QuantkitError
from quantkit.terminal import (
    LOG_WIDTH,
    Partial,
    allocation_table,
    bench_tables,
    calibration_table,
    messages,
    parity_table,
    plan_line,
    profile_tables,
    sensitivity_table,
    size_line,
    streams_table,
)

#: Importable names of the optional extras, for the message when one is missing.
_EXTRAS = {
    "build": "torch nemo onnx onnx_ir onnxscript numba matplotlib pydantic ruamel filelock "
    "sentencepiece kaldialign scipy threadpoolctl psutil whisper_normalizer",
    "eval": "datasets",
    "hub": "huggingface_hub",
}
STORE = Path(".quantkit/store")
_INTERRUPTED, _PIPE_CLOSED, _BUG = 130, 141, 70

app = App(
    name="quantkit",
    help="Turn NeMo streaming transducers into small, fast, proven ONNX graphs.",
    version=__version__,
    suppress_keyboard_interrupt=False,
)


@app.command
def build(
    recipe: Path,
    /,
    *,
    set_: Annotated[tuple[str, ...], Parameter(name="--set", negative="")] = (),
    out: Path | None = None,
    store: Path = STORE,
    plan: Annotated[bool, Parameter(negative="")] = False,
    force: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Build an artifact from a recipe; stages whose results are in the store are not run again.

    Args:
        recipe: the YAML file.
        set_: KEY=VALUE put over the recipe, such as model.chunk_ms=160; may be repeated.
        out: the artifact directory; default artifacts/NAME of the recipe.
        store: where results of stages are kept and found again.
        plan: only print each stage, whether its result is stored and why it would run.
        force: run every stage again.
    """
    from quantkit import pipeline
    from quantkit.pipeline.progress import progress_on
    from quantkit.recipe import load_recipe, located

    loaded = load_recipe(recipe, set_)
    target = out or Path("artifacts") / loaded.name
    shelf = pipeline.Store(store)
    if plan:
        with located(recipe, set_):
            rows = pipeline.plan_build(loaded, target, shelf, force=force)
        for row in rows:
            print(plan_line(row))
        return
    with located(recipe, set_):
        built = pipeline.build(loaded, target, shelf, progress_on(messages()), force=force)
    if built.allocation is not None:
        _show(allocation_table(built.allocation))
    print(f"{built.artifact}: {size_line(built.manifest)}")
    _judge(built.manifest["parity"], built.gates)


@app.command
def calibrate(
    recipe: Path,
    /,
    *,
    set_: Annotated[tuple[str, ...], Parameter(name="--set", negative="")] = (),
    store: Path = STORE,
    hessians: Annotated[bool, Parameter(negative="")] = False,
    out: Path | None = None,
) -> None:
    """Measure on a recipe's speech what its weights are multiplied with.

    Args:
        recipe: the YAML file.
        set_: KEY=VALUE put over the recipe, such as calibrate.folder=speech; may be repeated.
        store: where results of stages are kept and found again.
        hessians: measure all second moments of each input too, also if the scheme needs none.
        out: also copy the statistics there, for `quantkit quantize --calibration`.
    """
    from quantkit import pipeline
    from quantkit.pipeline.progress import progress_on
    from quantkit.recipe import load_recipe, located

    loaded, shelf = load_recipe(recipe, set_), pipeline.Store(store)
    with located(recipe, set_):
        calibrated = pipeline.calibrate_recipe(
            loaded, shelf, progress_on(messages()), hessians=hessians
        )
    if out is not None:
        pipeline.copy_statistics(calibrated, out)
    _show(calibration_table(calibrated.report))
    print(f"statistics in {out or calibrated.directory}")


@app.command
def sensitivity(
    recipe: Path,
    /,
    *,
    set_: Annotated[tuple[str, ...], Parameter(name="--set", negative="")] = (),
    store: Path = STORE,
    json: Path | None = None,
    plot: Path | None = None,
) -> None:
    """Measure what each tensor at each width does to the joint's distributions.

    The algorithm is the recipe's, the speech its calibration speech; a budget is allocated as well.

    Args:
        recipe: the YAML file.
        set_: KEY=VALUE put over the recipe, such as sensitivity.utterances=8; may be repeated.
        store: where results of stages are kept and found again.
        json: also write the measurements there.
        plot: also draw them there, an .svg or .png file.
    """
    from quantkit import pipeline
    from quantkit.core.files import write_json
    from quantkit.pipeline.progress import progress_on
    from quantkit.recipe import load_recipe, located
    from quantkit.sensitivity.plot import check_plot, plot_sensitivity

    if plot is not None:
        check_plot(plot)
    loaded = load_recipe(recipe, set_)
    with located(recipe, set_):
        measured = pipeline.measure_recipe(loaded, pipeline.Store(store), progress_on(messages()))
    if json is not None:
        write_json(json, measured.sensitivity)
    if plot is not None:
        plot_sensitivity(measured.sensitivity, plot)
    _show(sensitivity_table(measured.sensitivity))
    if measured.allocation is not None:
        _show(allocation_table(measured.allocation))


@app.command
def verify(
    artifact: Path,
    /,
    *,
    manifest: Path | None = None,
    source: Path | None = None,
    store: Path = STORE,
    json: Path | None = None,
) -> None:
    """Compare an artifact with the PyTorch model it was made from, token by token.

    Args:
        artifact: the artifact directory.
        manifest: speech to compare on, as JSON lines; default the recipe's.
        source: the .nemo file; default what the recipe names.
        store: where what PyTorch says is kept and found again.
        json: also write the report there.
    """
    from quantkit.core.files import write_json
    from quantkit.pipeline import Store, verify_artifact
    from quantkit.pipeline.progress import progress_on

    proof = verify_artifact(artifact, manifest, source, Store(store), progress_on(messages()))
    if json is not None:
        write_json(json, proof.parity)
    _judge(proof.parity, proof.gates)


@app.command
def transcribe(
    artifact: Path,
    /,
    *audio: Path,
    json: Annotated[bool, Parameter(negative="")] = False,
    realtime: Annotated[bool, Parameter(negative="")] = False,
    streams: int = 1,
    threads: int | None = None,
    prepare: Annotated[bool, Parameter(negative="")] = False,
    references: Path | None = None,
) -> int:
    """Stream audio files through an artifact.

    Args:
        artifact: the artifact directory.
        audio: files of any sample rate and channel count.
        json: one JSON object a line and file, with token times.
        realtime: take the audio as slowly as it was spoken.
        streams: files at a time; together they take less time than one after the other.
        threads: of the encoder; default what ONNX Runtime chooses.
        prepare: keep the graphs in ARTIFACT/.prepared as ONNX Runtime packed them, for later runs
            and other processes to map into memory.
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
    texts = _texts(references) if references else {}
    transcriber = Transcriber.load(artifact, threads, prepare=prepare)
    if streams == 1:
        results = _one_by_one(transcriber, audio, realtime=realtime, partial=not json)
    else:
        results = _together(transcriber, audio, streams)
    code = 0
    for path, result in zip(audio, results, strict=True):
        if isinstance(result, InputError):
            _complain(str(result))
            code = result.exit_code
            continue
        if json:
            print(jsons.dumps(result, ensure_ascii=False), flush=True)
        elif path.resolve() in texts:
            print(f"{path}\n  said     {texts[path.resolve()]}\n  decoded  {result['text']}")
        else:
            name = f"{path}: " if len(audio) > 1 else ""
            print(f"{name}{result['text']}", flush=True)
    return code


@app.command
def quantize(
    model: Path,
    /,
    *,
    scheme: str,
    out: Path,
    bits: int | None = None,
    block_size: int | None = None,
    accuracy_level: int | None = None,
    calibration: Annotated[tuple[Path, ...], Parameter(negative="", consume_multiple=True)] = (),
) -> None:
    """Quantize the weights of any ONNX file: MatMul, Gemm, 1x1 convolutions, embedding tables.

    Args:
        model: the ONNX file.
        scheme: rtn, kquant, gptq, int8-dynamic, olive or ort-dynamic-int8.
        out: the file to write; its weights go beside it, into OUT.data.
        bits: 2, 4 or 8.
        block_size: weights that share a scale: 16, 32, 64, 128 or 256.
        accuracy_level: 0 lets the runtime choose, 1 computes in float32, 4 in int8.
        calibration: .npz files, each with one set of the model's inputs by name; kquant and gptq
            then weigh errors by what the weights are multiplied with. gptq needs them.
    """
    from quantkit.pipeline.file import quantize_file
    from quantkit.pipeline.progress import progress_on
    from quantkit.quantize import parse_settings

    given = {
        "scheme": scheme,
        "bits": bits,
        "block_size": block_size,
        "accuracy_level": accuracy_level,
        "importance": "activation" if calibration and scheme == "kquant" else None,
    }
    settings = parse_settings({key: value for key, value in given.items() if value is not None})
    report = quantize_file(model, settings, out, progress_on(messages()), calibration)
    size = sum(path.stat().st_size for path in (out, Path(f"{out}.data")) if path.exists())
    print(f"{out}: {size / 1e6:.1f} MB, {report['bits_per_weight']:.2f} bits per weight")


@app.command
def bench(
    *artifact: Path,
    threads: Annotated[tuple[int, ...], Parameter(negative="")] = (),
    rounds: int = 50,
    audio: Annotated[tuple[Path, ...], Parameter(negative="")] = (),
    json: Path | None = None,
    profile: Annotated[bool, Parameter(negative="")] = False,
    chunk_ms: int = 560,
    streams: str = "",
) -> None:
    """Measure speed, memory and size, taking turns between candidates call by call.

    Args:
        artifact: artifacts, directories or files of other exporters' streaming encoders, and .nemo
            checkpoints, which NeMo runs in PyTorch.
        threads: threads to measure with; may be repeated; default all cores that may be used.
        rounds: timed encoder steps of each candidate.
        audio: speech for whole recognizers; may be repeated.
        json: also write the numbers there.
        profile: also print the time of an encoder step by operator.
        chunk_ms: length of the chunks that checkpoints take.
        streams: numbers such as 1,2,4,8: also time artifacts on so many streams at once, each of
            them all of the audio.
    """
    from quantkit.bench import bench as measure
    from quantkit.bench.streams import bench_streams, parse_counts
    from quantkit.core.files import write_json
    from quantkit.pipeline.progress import progress_on

    counts, progress = parse_counts(streams, audio), progress_on(messages())
    report = measure(artifact, threads, rounds, audio, progress, chunk_ms)
    if counts:
        report["streams"] = bench_streams(artifact, threads, counts, audio, progress)
    if json is not None:
        write_json(json, report)
    for table in [*bench_tables(report), *(profile_tables(report) if profile else [])]:
        _show(table)
    if counts:
        _show(streams_table(report["streams"]))


@app.command
def schema() -> None:
    """Print the JSON Schema of recipes."""
    from quantkit.recipe import recipe_schema

    print(jsons.dumps(recipe_schema(), indent=2))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code; no traceback without `--debug`."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in given
    if not debug:
        sys.excepthook = _report_bug
    words = [word for word in given if word != "--debug"]
    try:
        result = app(words, exit_on_error=False, result_action="return_value")
    except CycloptsError:
        return InputError.exit_code  # cyclopts has printed what is wrong
    except KeyboardInterrupt:
        return _INTERRUPTED
    except BrokenPipeError:
        # Whoever read the output has gone; the interpreter must not complain when it flushes.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _PIPE_CLOSED
    except (QuantkitError, OSError, ModuleNotFoundError) as error:
        if debug:
            raise
        return _explain(error)
    return result if isinstance(result, int) else 0


def _judge(parity: Any, gates: Sequence[Any]) -> None:
    _show(parity_table(parity))
    for gate in gates:
        print(f"gate {gate}")
    missed = [str(gate) for gate in gates if not gate.passed]
    if missed:
        raise GateError("\n".join(f"gate missed: {gate}" for gate in missed))


def _show(table: Any) -> None:
    from rich.console import Console

    # Where nobody watches lines may be long, which rich cannot know.
    Console(width=None if Console().is_terminal else LOG_WIDTH).print(table)


def _texts(references: Path) -> dict[Path, str]:
    from quantkit.core.speech import read_manifest

    utterances = read_manifest(references)
    return {one.audio.resolve(): one.text for one in utterances if one.text is not None}


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


def _explain(error: QuantkitError | OSError | ModuleNotFoundError) -> int:
    """Print an expected failure and return its exit code."""
    if isinstance(error, ModuleNotFoundError) and not isinstance(error, QuantkitError):
        name = (error.name or "").partition(".")[0]
        extras = [extra for extra, names in _EXTRAS.items() if name in names.split()]
        if not extras:
            raise error
        error = MissingExtraError(name, extras[0])
    _complain(str(error))
    return error.exit_code if isinstance(error, QuantkitError) else InputError.exit_code


def _complain(message: str) -> None:
    print(f"quantkit: {message}", file=sys.stderr, flush=True)


def _report_bug(kind: type[BaseException], error: BaseException, _: TracebackType | None) -> None:
    _complain(f"internal error: {kind.__name__}: {error}. Run again with --debug and report it")
    raise SystemExit(_BUG)


if __name__ == "__main__":
    sys.exit(main())
