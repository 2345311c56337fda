"""Compare the quantizers with Olive's k-quant on the matrices of a recipe's model.

`python -m benchmarks.quantizers RECIPE` takes the fused graphs of the recipe and, from its
calibration and its verification speech, what goes into every matrix. Olive and quantkit then
quantize the same file, which holds each matrix in one product (Olive takes MatMul alone), each in a
process of its own. Printed are

- seconds and peak memory of both;
- the error of the stored weights, an error counted as the scheme counts it (by the size of the
  weights, or by the mean square of their inputs), as a share of Olive's, and in how many blocks it
  is above that of round-to-nearest;
- with `--outputs` the squared error of the products on speech that was not calibrated on, as a
  share of Olive's. This takes full matrices of second moments: gigabytes for a big model.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from benchmarks.products import write_products
from quantkit.bench.machine import machine
from quantkit.build.calibration import Calibrated, calibrate_recipe
from quantkit.build.progress import StageProgress, progress_on
from quantkit.build.store import Store
from quantkit.core.errors import InputError, QuantkitError
from quantkit.core.files import complete_directory, write_json
from quantkit.core.processes import Finished, run_measured
from quantkit.core.progress import Progress
from quantkit.graph.files import load_model
from quantkit.quantize.moments import InputMoments, load_moments
from quantkit.quantize.schemes.gptq import gptq
from quantkit.quantize.schemes.kquant import k_quant, weight_importance
from quantkit.quantize.schemes.olive_process import OliveRun, run_olive
from quantkit.quantize.schemes.rtn import round_to_nearest
from quantkit.quantize.storage.blocks import FloatArray, QuantizedMatrix
from quantkit.quantize.storage.matrices import find_matrices
from quantkit.quantize.storage.stored import dequantized
from quantkit.recipe.load import load_recipe

BITS = 4
# Two sums of the same float64 numbers in another order.
SLACK = 1 + 1e-12


@dataclass(frozen=True)
class Ratios:
    """One tensor: squared errors as shares of those of Olive's k-quant, by scheme.

    `weights` are errors of stored weights as the scheme weighs them, `outputs` those of the
    products on held-out speech. `blocks_above_rtn` counts over both kinds of round-to-nearest.
    """

    name: str
    weights: dict[str, float] = field(default_factory=dict)
    outputs: dict[str, float] = field(default_factory=dict)
    blocks_above_rtn: int = 0


def quantize_products(products: Path, block_size: int, out: Path) -> tuple[Finished, OliveRun]:
    """Quantize a graph file by quantkit's k-quant into `out`/ours.onnx, and by Olive's.

    Raises:
        QuantkitError: one of them failed.
    """
    ours = out / "ours"
    ours.mkdir()
    command = [sys.executable, "-m", "quantkit.cli", "quantize", str(products), "--scheme"]
    command += ["kquant", "--block-size", str(block_size), "--out", str(ours / "products.onnx")]
    own = run_measured(command, ours / "log")
    if own.code:
        raise QuantkitError(f"quantkit quantize ended with {own.code}:\n{own.tail}")
    theirs = out / "olive"
    theirs.mkdir()
    settings = {"type": "OnnxKQuantQuantization", "bits": BITS, "block_size": block_size}
    settings |= {"accuracy_level": 4}
    source = {"type": "ONNXModel", "model_path": str(products)}
    return own, run_olive(settings, source, 1, theirs)


def compare_matrix(
    name: str,
    weight: FloatArray,
    olive: QuantizedMatrix,
    moments: InputMoments | None,
    held_out: NDArray[np.float32] | None,
) -> Ratios:
    """Errors of one matrix float32 [K, N] against Olive's version of it.

    Args:
        name: graph/tensor.
        weight: the matrix.
        olive: what Olive stores of it; its block size is taken for all.
        moments: of its inputs; None for a table, whose rows are looked up.
        held_out: second moments of its inputs on other speech, float32 [K, K].
    """
    ratios = Ratios(name)
    size = olive.block_size
    plain = [round_to_nearest(weight, BITS, size, symmetric=flag) for flag in (False, True)]
    kquants = {"kquant weight": k_quant(weight, BITS, size)}
    costs: dict[str, NDArray[np.float64]] = {"kquant weight": weight_importance(weight, size)}
    if moments is not None:
        costs["kquant activation"] = moments.diagonal
        kquants["kquant activation"] = k_quant(weight, BITS, size, "activation", moments.diagonal)
    above = 0
    for scheme, stored in kquants.items():
        errors = stored.block_errors(weight, costs[scheme])
        ratios.weights[scheme] = _share(errors, olive.block_errors(weight, costs[scheme]))
        above += sum(
            int((errors > rtn.block_errors(weight, costs[scheme]) * SLACK).sum()) for rtn in plain
        )
    if held_out is not None and moments is not None and moments.hessian is not None:
        kquants["gptq"] = gptq(weight, moments.hessian, BITS, size)
        base = _output_error(olive, weight, held_out)
        for scheme, stored in {"rtn": plain[0], **kquants}.items():
            ratios.outputs[scheme] = _output_error(stored, weight, held_out) / base
    return Ratios(name, ratios.weights, ratios.outputs, above)


def _share(errors: NDArray[np.float64], others: NDArray[np.float64]) -> float:
    return float(errors.sum() / others.sum())


def _output_error(
    stored: QuantizedMatrix, weight: FloatArray, hessian: NDArray[np.float32]
) -> float:
    rest = stored.dequantize() - weight
    return float(np.vdot(rest, hessian @ rest))


def compare_matrices(
    model: Path,
    olive: Path,
    calibration: Path,
    held_out: Path | None,
    progress: Progress,
) -> list[Ratios]:
    """Compare every matrix of a model directory; see compare_matrix.

    Args:
        model: directory of float32 graphs.
        olive: their products, quantized by Olive.
        calibration: statistics of the inputs.
        held_out: statistics with Hessians on other speech.
        progress: told about each matrix.
    """
    stored = dict(dequantized(olive))
    moments = load_moments(calibration)
    others = load_moments(held_out) if held_out else {}
    matrices = [
        (f"{path.stem}/{matrix.name}", matrix)
        for path in sorted(model.glob("*.onnx"))
        for matrix in find_matrices(load_model(path))
    ]
    rows = []
    for name, matrix in progress.track(matrices, len(matrices), "compare"):
        theirs = stored[name]
        if not isinstance(theirs, QuantizedMatrix):
            raise InputError(f"{olive}: {name!r} is not stored in blocks")
        known = matrix.use == "product"
        other = others[name].hessian if known and name in others else None
        rows.append(
            compare_matrix(name, matrix.read(), theirs, moments[name] if known else None, other)
        )
    return rows


def measure(
    recipe: Path,
    overrides: Sequence[str],
    store: Store,
    out: Path,
    progress: StageProgress,
    *,
    block_size: int,
    outputs: bool,
) -> dict[str, Any]:
    """Everything that the module's description names, written to `out`/quantizers.json.

    Raises:
        InputError: the recipe or something that it names is wrong.
        OliveError: Olive failed.
    """
    loaded = load_recipe(recipe, overrides)
    calibrated = calibrate_recipe(loaded, store, progress, hessians=outputs)
    held_out = _held_out(recipe, overrides, store, progress) if outputs else None
    with complete_directory(out.resolve()) as folder:
        products = folder / "products.onnx"
        with progress.stage("products"):
            write_products(calibrated.model, products)
        with progress.stage("quantize twice"):
            own, theirs = quantize_products(products, block_size, folder)
        with progress.stage("compare"):
            other = held_out.directory if held_out else None
            rows = compare_matrices(
                calibrated.model, theirs.models[0], calibrated.directory, other, progress
            )
        report = {
            "machine": machine(),
            "recipe": loaded.name,
            "block_size": block_size,
            "float_bytes": sum(path.stat().st_size for path in folder.glob("products.onnx*")),
            "quantkit": {"seconds": own.seconds, "rss_bytes": own.rss_bytes},
            "olive": {"seconds": theirs.seconds, "rss_bytes": theirs.rss_bytes},
            "tensors": [asdict(row) for row in rows],
        }
        for path in sorted(folder.iterdir()):
            path.unlink() if path.is_file() else shutil.rmtree(path)
        write_json(folder / "quantizers.json", report)
    return report


def _held_out(
    recipe: Path, overrides: Sequence[str], store: Store, progress: StageProgress
) -> Calibrated:
    """Statistics of the speech that the recipe verifies on: the two sets change places."""
    loaded = load_recipe(recipe, overrides)
    if loaded.calibrate is None or loaded.calibrate.manifest is None:
        raise InputError(f"{recipe}: --outputs needs calibrate.manifest")
    swapped = [
        f"calibrate.manifest={loaded.verify.manifest}",
        f"verify.manifest={loaded.calibrate.manifest}",
    ]
    other = load_recipe(recipe, [*overrides, *swapped])
    return calibrate_recipe(other, store, progress, hessians=True)


def tables(report: dict[str, Any]) -> list[Table]:
    """Time and memory, and the errors by scheme."""
    took = Table(title="whole process, k-quant of every matrix", title_justify="left")
    for head in ("", "seconds", "peak memory, GB"):
        took.add_column(head, justify="right" if head else "left")
    for name in ("olive", "quantkit"):
        run = report[name]
        took.add_row(name, f"{run['seconds']:.1f}", f"{run['rss_bytes'] / 1e9:.2f}")
    ratio = report["quantkit"]["seconds"] / report["olive"]["seconds"]
    took.add_row("quantkit / olive", f"{ratio:.3f}", "")
    took.add_row("float weights", "", f"{report['float_bytes'] / 1e9:.2f}")

    title = f"squared errors / Olive's k-quant, block {report['block_size']}, by tensor"
    errors = Table(title=title, title_justify="left")
    for head in ("errors of", "scheme", "tensors", "mean", "least", "most"):
        errors.add_column(head, justify="left" if head in {"errors of", "scheme"} else "right")
    for what in ("weights", "outputs"):
        schemes = dict.fromkeys(name for row in report["tensors"] for name in row[what])
        for scheme in schemes:
            found = [row[what][scheme] for row in report["tensors"] if scheme in row[what]]
            numbers = (f"{number:.3f}" for number in (fmean(found), min(found), max(found)))
            errors.add_row(what, scheme, str(len(found)), *numbers)
    above = sum(row["blocks_above_rtn"] for row in report["tensors"])
    errors.caption = f"blocks in which k-quant is above either round-to-nearest: {above}"
    return [took, errors]


def main(arguments: list[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="benchmarks.quantizers", description=__doc__)
    parser.add_argument("recipe", type=Path, help="a recipe that names speech to calibrate on")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--block-size", type=int, default=32)
    parser.add_argument("--outputs", action="store_true", help="errors of products as well")
    parser.add_argument("--out", type=Path, default=Path(".cache/bench/quantizers"))
    parser.add_argument("--store", type=Path, default=Path(".quantkit/store"))
    given = parser.parse_args(arguments)
    try:
        report = measure(
            given.recipe,
            given.set,
            Store(given.store),
            given.out,
            progress_on(Console(stderr=True)),
            block_size=given.block_size,
            outputs=given.outputs,
        )
    except QuantkitError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    for table in tables(report):
        Console().print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
