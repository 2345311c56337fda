"""Commands that take any ONNX file or nothing at all."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from quantkit.cli.app import Flag, app, open_artifact
from quantkit.cli.console import complain, messages, say, say_json, show
from quantkit.cli.show.bench import bench_tables, profile_tables, streams_table
from quantkit.core.errors import InputError
from quantkit.core.targets import check_file


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
    exclude: Annotated[tuple[str, ...], Parameter(negative="")] = (),
    rule: Annotated[tuple[str, ...], Parameter(negative="")] = (),
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
        exclude: glob of tensors that stay float32, named MODEL/TENSOR; may be repeated.
        rule: GLOB=BITS or GLOB=BITSxBLOCK_SIZE, another width for the tensors that match, such as
            'net/head*=8x32'; may be repeated, the first that matches counts.
        calibration: .npz files, each with one set of the model's inputs by name, or the directory
            that `quantkit calibrate --out` wrote, with the encoder.onnx, predictor.onnx or
            joint.onnx that it was measured on; kquant and gptq then weigh errors by what the
            weights are multiplied with. gptq needs them.
    """
    from quantkit.build import api
    from quantkit.build.progress import progress_on

    for file in (out, Path(f"{out}.data")):
        check_file("--out", file)
    settings = {
        "bits": bits,
        "block_size": block_size,
        "accuracy_level": accuracy_level,
        "importance": "activation" if calibration and scheme == "kquant" else None,
        "exclude": exclude or None,
        "rules": [parse_rule(text) for text in rule] or None,
    }
    report = api.quantize(
        model,
        out,
        scheme=scheme,
        calibration=calibration,
        progress=progress_on(messages()),
        **{key: value for key, value in settings.items() if value is not None},
    )
    for note in report.get("notes", []):
        complain(f"note: {note}")
    size = sum(path.stat().st_size for path in (out, Path(f"{out}.data")) if path.exists())
    say(f"{out}: {size / 1e6:.1f} MB, {report['bits_per_weight']:.2f} bits per weight")


@app.command
def bench(
    *artifact: str,
    threads: Annotated[tuple[int, ...], Parameter(negative="")] = (),
    rounds: int = 50,
    audio: Annotated[tuple[Path, ...], Parameter(negative="")] = (),
    json: Path | None = None,
    profile: Flag = False,
    chunk_ms: int = 560,
    streams: str = "",
) -> None:
    """Measure speed, memory and size, taking turns between candidates call by call.

    Args:
        artifact: artifacts, also by name on a hub, directories or files of other exporters'
            streaming encoders, and .nemo checkpoints, which NeMo runs in PyTorch.
        threads: threads to measure with; may be repeated; default all cores that may be used.
        rounds: timed encoder steps of each candidate.
        audio: speech for whole recognizers; may be repeated.
        json: also write the numbers there.
        profile: also print the time of an encoder step by operator.
        chunk_ms: length of the chunks that checkpoints take.
        streams: numbers such as 1,2,4,8: also time artifacts on so many streams at once, each of
            them all of the audio.
    """
    from quantkit.bench.steps import bench as measure
    from quantkit.bench.streams import bench_streams, parse_counts
    from quantkit.build.progress import progress_on
    from quantkit.core.files import write_json

    if json is not None:
        check_file("--json", json)
    counts, progress = parse_counts(streams, audio), progress_on(messages())
    artifacts = [open_artifact(name) for name in artifact]
    report = measure(artifacts, threads, rounds, audio, progress, chunk_ms)
    if counts:
        report["streams"] = bench_streams(artifacts, threads, counts, audio, progress)
    if json is not None:
        write_json(json, report)
    for table in [*bench_tables(report), *(profile_tables(report) if profile else [])]:
        show(table)
    if counts:
        show(streams_table(report["streams"]))


@app.command
def schema(of: Literal["recipe", "suite", "report"] = "recipe", /) -> None:
    """Print the JSON Schema of recipes, of suites, or of a comparison's report.json.

    Args:
        of: recipe, suite or report.
    """
    match of:
        case "recipe":
            from quantkit.recipe.load import recipe_schema as found
        case "suite":
            from quantkit.recipe.suite_file import suite_schema as found
        case "report":
            from quantkit.report.schema import report_schema as found
    say_json(found(), indent=2)


def parse_rule(text: str) -> dict[str, Any]:
    """Read a rule of the command line, GLOB=BITS or GLOB=BITSxBLOCK_SIZE; see Rule.

    Raises:
        InputError: it is written otherwise.
    """
    glob, _, width = text.rpartition("=")
    bits, _, block_size = width.partition("x")
    if not glob or not bits.isdecimal() or not (block_size or "0").isdecimal():
        raise InputError(
            f"--rule: found {text!r}, accepted: GLOB=BITS or GLOB=BITSxBLOCK_SIZE, such as "
            "'net/head*=8x32'"
        )
    return {
        "match": glob,
        "bits": int(bits[:9]),
        **({"block_size": int(block_size[:9])} if block_size else {}),
    }
