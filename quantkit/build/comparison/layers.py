"""Which layers of a scheme do the damage: measured once for each pair of graphs and speech."""

from __future__ import annotations

from collections.abc import Sequence

from quantkit.build.engine import stage_version
from quantkit.build.key import StageKey
from quantkit.build.models import Model
from quantkit.build.progress import StageProgress
from quantkit.build.store import Store
from quantkit.calibrate.sensitivity.layers import layer_divergence
from quantkit.core.files import sha256_json, write_json
from quantkit.core.strict_json import read_json
from quantkit.core.versions import library_versions
from quantkit.report.schema import LayerDivergence
from quantkit.speech.manifest import spread
from quantkit.speech.utterances import SuiteUtterance

#: Enough to rank layers; the numbers of a scheme as a whole are measured on all utterances.
UTTERANCES = 8
_FILE = "layers.json"


def layers(
    scheme: Model,
    fused: Model,
    utterances: Sequence[SuiteUtterance],
    store: Store,
    progress: StageProgress,
) -> tuple[LayerDivergence, ...]:
    """Mean KL of the fp32 graphs with one layer at a time as the scheme stores it."""
    chosen = spread(utterances, UTTERANCES)
    key = StageKey(
        "layers",
        stage_version(1, "calibrate.sensitivity.layers"),
        {},
        {
            "fuse": fused.sha256,
            "quantize": scheme.sha256,
            "speech": sha256_json([utterance.digest for utterance in chosen]),
        },
        library_versions(["onnx", "onnx-ir", "numpy", "onnxruntime"]),
    )
    with store.locked(key):
        if not store.has(key):
            name = scheme.directory.name
            with progress.stage(f"layers of {name}"), store.writing(key, name) as (out, _):
                speech = [utterance.audio for utterance in chosen]
                found = layer_divergence(fused.directory, scheme.directory, speech, progress)
                write_json(out / _FILE, found)
        measured = read_json(store.read(key).directory / _FILE)
    return tuple(LayerDivergence(layer=layer, kl_mean=kl) for layer, kl in measured)
