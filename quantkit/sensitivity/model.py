"""The sensitivity stage: every tensor at every width, one at a time."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from threading import Lock
from typing import cast, get_args

from quantkit.core.files import sha256_json, write_json
from quantkit.core.progress import Progress
from quantkit.core.speech import Utterance
from quantkit.graph.files import load_model
from quantkit.quantize.matrices import find_matrices
from quantkit.quantize.measured import SENSITIVITY, MeasuredChoice, MeasuredTensor, Sensitivity
from quantkit.quantize.moments import Moments, load_moments
from quantkit.quantize.options import SchemeSettings
from quantkit.quantize.selection import without
from quantkit.quantize.tensors import quantize_matrix
from quantkit.quantize.widths import Width
from quantkit.sensitivity.damage import GraphName, Judge
from quantkit.sensitivity.reference import facts, hear

# Measurements at a time. Each holds one graph's weights in float32 and computes on one core.
AT_A_TIME = 2


def measure_sensitivity(
    model: Path,
    calibration: Path | None,
    speech: Sequence[Utterance],
    settings: SchemeSettings,
    widths: Sequence[Width],
    out: Path,
    scratch: Path,
    progress: Progress,
    *,
    key: str = "quantize",
) -> None:
    """Write `out`/sensitivity.json: the damage of each tensor at each width, see Sensitivity.

    One thread computes each measurement, so that the same model and speech give the same bytes on
    any number of cores, whether or not the work was killed and went on in between.

    Args:
        model: directory of the float32 graphs and streaming.json.
        calibration: the calibration stage's directory, if the settings need activations.
        speech: what the damage is measured on.
        settings: the algorithm; its own widths and rules do not matter.
        widths: to measure.
        out: existing directory.
        scratch: existing directory, where each measurement is kept as soon as it is done.
        progress: told about each measurement.
        key: where the settings stand in the recipe.

    Raises:
        InputError: the model, the statistics or a recording cannot be used, or a glob of the
            settings matches nothing.
    """
    tensors = _tensors(model)
    names = without(list(tensors), settings.exclude, key)
    moments = load_moments(calibration) if calibration and settings.needs_activations else None
    heard = hear(model, speech, progress)
    bench = _Bench(model, Judge(model, heard), settings, moments, scratch)
    jobs = [(tensors[name], width) for name in names for width in widths]
    with ThreadPoolExecutor(AT_A_TIME) as pool:
        results = pool.map(lambda job: bench.measure(*job), jobs)
        choices = list(progress.track(results, len(jobs), "measure"))
    report: Sensitivity = {
        "scheme": settings.model_dump(mode="json", exclude={"bits", "block_size", "rules"}),
        "utterances": len(heard),
        "decisions": sum(len(one.log_probabilities) for one in heard),
        "reference": facts(heard),
        "tensors": [
            _report(tensors[name], choices[index * len(widths) : (index + 1) * len(widths)])
            for index, name in enumerate(names)
        ],
    }
    write_json(out / SENSITIVITY, report)


@dataclass(frozen=True)
class _Tensor:
    """Where a matrix is: its graph, and its place among the matrices found there."""

    graph: GraphName
    place: int
    name: str
    shape: tuple[int, int]


def _tensors(model: Path) -> Mapping[str, _Tensor]:
    """Every quantizable tensor by "graph/tensor"."""
    return {
        f"{graph}/{matrix.name}": _Tensor(graph, place, matrix.name, matrix.shape)
        for graph in get_args(GraphName)
        for place, matrix in enumerate(find_matrices(load_model(model / f"{graph}.onnx")))
    }


def _report(tensor: _Tensor, choices: list[MeasuredChoice]) -> MeasuredTensor:
    rows, columns = tensor.shape
    return {
        "name": f"{tensor.graph}/{tensor.name}",
        "shape": [rows, columns],
        "parameters": rows * columns,
        "choices": choices,
    }


class _Bench:
    """Quantizes one matrix at a time and has it judged."""

    def __init__(
        self,
        model: Path,
        judge: Judge,
        settings: SchemeSettings,
        moments: Moments | None,
        scratch: Path,
    ) -> None:
        self._model = model
        self._judge = judge
        self._settings = settings
        self._moments = moments
        self._scratch = scratch
        # The algorithms use all cores by themselves, and not every threading layer of theirs can
        # be entered twice.
        self._quantizing = Lock()

    def measure(self, tensor: _Tensor, width: Width) -> MeasuredChoice:
        """The measurement, from the scratch directory if an earlier run left it there."""
        job = [tensor.graph, tensor.place, tensor.name, width.bits, width.block_size]
        kept = self._scratch / f"{sha256_json(job)}.json"
        if kept.exists():
            return cast("MeasuredChoice", json.loads(kept.read_text(encoding="utf-8")))
        graph = load_model(self._model / f"{tensor.graph}.onnx")
        matrix = find_matrices(graph)[tensor.place]
        settings = self._settings.model_copy(update=dict(width))
        with self._quantizing:
            stored = quantize_matrix(graph, tensor.graph, matrix, settings, self._moments)
        measured: MeasuredChoice = {
            "bits": width.bits,
            "block_size": width.block_size,
            "bytes": stored["bytes"],
            "relative_error": stored["relative_error"],
            **asdict(self._judge.damage(tensor.graph, graph)),  # type: ignore[typeddict-item]
        }
        write_json(kept, measured)
        return measured
