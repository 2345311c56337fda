"""The sensitivity stage: every tensor at every width, one at a time."""

from __future__ import annotations

import glob
import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock
from typing import cast

import onnx_ir as ir

from quantkit.calibrate.sensitivity.damage import DamageMeter
from quantkit.calibrate.sensitivity.reference import facts, float_utterances
from quantkit.core.files import sha256_json, write_json
from quantkit.core.integrity import read_kept, write_kept
from quantkit.core.progress import Progress, Silent
from quantkit.graph.files import load_model
from quantkit.quantize.graphs import quantize_graphs
from quantkit.quantize.inventory import TensorReport
from quantkit.quantize.moments import Moments, load_moments
from quantkit.quantize.settings import BlockScheme
from quantkit.quantize.storage.matrices import find_matrices
from quantkit.quantize.widths.measured import (
    MEASURED_CHOICE,
    SENSITIVITY,
    MeasuredChoice,
    Sensitivity,
)
from quantkit.quantize.widths.selection import without
from quantkit.quantize.widths.settings import Width
from quantkit.runtime.settings import StreamingSettings
from quantkit.speech.manifest import Recording

# Measurements at a time. Each holds one graph's weights in float32 and computes on one core.
AT_A_TIME = 2


def measure_sensitivity(
    model: Path,
    calibration: Path | None,
    recordings: Sequence[Recording],
    settings: BlockScheme,
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
        recordings: the speech that the damage is measured on.
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
    shapes = _shapes(model)
    names = without(list(shapes), settings.exclude, key)
    moments = load_moments(calibration) if calibration and settings.needs_activations else None
    utterances = float_utterances(model, recordings, progress)
    bench = _Bench(model, list(shapes), DamageMeter(model, utterances), settings, moments, scratch)
    jobs = [(name, width) for name in names for width in widths]
    with ThreadPoolExecutor(AT_A_TIME) as pool:
        results = pool.map(lambda job: bench.measure(*job), jobs)
        choices = dict(zip(jobs, progress.track(results, len(jobs), "measure"), strict=True))
    report: Sensitivity = {
        "scheme": settings.model_dump(mode="json", exclude={"bits", "block_size", "rules"}),
        "utterances": len(utterances),
        "decisions": sum(len(utterance.log_probabilities) for utterance in utterances),
        "reference": facts(utterances),
        "tensors": [
            {
                "name": name,
                "shape": list(shapes[name]),
                "parameters": math.prod(shapes[name]),
                "choices": [choices[name, width] for width in widths],
            }
            for name in names
        ],
    }
    write_json(out / SENSITIVITY, report)


def _shapes(model: Path) -> dict[str, tuple[int, int]]:
    """(K, N) of every quantizable tensor, by "graph/tensor"."""
    return {
        f"{graph.name}/{matrix.name}": matrix.shape
        for graph in StreamingSettings.load(model).contract.graphs
        for matrix in find_matrices(load_model(model / graph.file))
    }


class _Bench:
    """Quantizes one tensor at a time and has it judged."""

    def __init__(
        self,
        model: Path,
        names: Sequence[str],
        meter: DamageMeter,
        settings: BlockScheme,
        moments: Moments | None,
        scratch: Path,
    ) -> None:
        self._model = model
        self._names = names
        self._meter = meter
        self._settings = settings
        self._moments = moments
        self._scratch = scratch
        # The algorithms use all cores by themselves, and not every threading layer of theirs can
        # be entered twice.
        self._quantizing = Lock()

    def measure(self, name: str, width: Width) -> MeasuredChoice:
        """The measurement, from the scratch directory if an earlier run left it there."""
        kept = self._scratch / f"{sha256_json([name, width.bits, width.block_size])}.json"
        if kept.exists():
            return cast("MeasuredChoice", read_kept(kept, MEASURED_CHOICE))
        graph = name.partition("/")[0]
        changed = load_model(self._model / f"{graph}.onnx")
        with self._quantizing:
            stored = self._quantize_alone(name, width, graph, changed)
        damage = self._meter.damage(graph, changed)
        measured: MeasuredChoice = {
            "bits": width.bits,
            "block_size": width.block_size,
            "bytes": stored["bytes"],
            "relative_error": stored["relative_error"],
            "kl_mean": damage.kl_mean,
            "kl_p99": damage.kl_p99,
            "flips": damage.flips,
        }
        write_kept(kept, measured)
        return measured

    def _quantize_alone(self, name: str, width: Width, graph: str, model: ir.Model) -> TensorReport:
        others = (other for other in self._names if other.startswith(f"{graph}/") and other != name)
        settings = self._settings.model_copy(
            update={
                "bits": width.bits,
                "block_size": width.block_size,
                "rules": (),
                "exclude": tuple(glob.escape(other) for other in others),
            }
        )
        report = quantize_graphs({graph: model}, self._moments, settings, Silent())[graph]
        (stored,) = (tensor for tensor in report["tensors"] if tensor["block_size"] is not None)
        return stored
