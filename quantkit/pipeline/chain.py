"""The stages of a recipe: what each does, and what its result depends on.

The rooms are imported when a stage runs, so that a plan does not wait for torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from quantkit.core.errors import InputError
from quantkit.core.progress import Progress
from quantkit.core.speech import manifest_digest, read_manifest, spread
from quantkit.pipeline.checkpoint import Checkpoint
from quantkit.pipeline.engine import Stage, Work
from quantkit.pipeline.key import code_digest, library_versions
from quantkit.quantize.mixed import MixedSettings
from quantkit.quantize.settings import QuantizeSettings
from quantkit.quantize.widths import CHOICES
from quantkit.recipe import Recipe

_NEMO = ("torch", "nemo_toolkit")
_GRAPHS = ("onnx", "onnx-ir", "onnxscript")
_NUMBERS = ("numpy", "onnxruntime")


def chain(recipe: Recipe, checkpoint: Checkpoint) -> list[Stage]:
    """Export, fuse, what the recipe's scheme needs, the scheme itself, reference, verify.

    Raises:
        InputError: a speech manifest is wrong.
        MissingExtraError: a library of the `build` extra is not installed.
    """
    stages = [
        Stage(
            "export",
            _version(1, "export", "graph", "stream"),
            _export(checkpoint.path, recipe.model.chunk_ms),
            settings={"chunk_ms": recipe.model.chunk_ms},
            files={"checkpoint": checkpoint.sha256},
            libraries=library_versions([*_NEMO, *_GRAPHS]),
        ),
        Stage(
            "fuse",
            _version(1, "fuse", "graph"),
            _fuse,
            upstream=("export",),
            libraries=library_versions([*_GRAPHS, *_NUMBERS]),
        ),
    ]
    if recipe.calibrate is not None and recipe.needs_calibration():
        stages.append(_calibrate_stage(Path(recipe.calibrate.manifest)))
    if recipe.needs_sensitivity():
        stages.append(sensitivity_stage(recipe))
    if recipe.quantize is not None:
        inputs = (
            "fuse",
            *(["calibrate"] if recipe.needs_calibration() else []),
            *(["sensitivity"] if recipe.needs_sensitivity() else []),
        )
        stages.append(
            Stage(
                "quantize",
                _version(1, "quantize", "graph"),
                _quantize(recipe.quantize),
                settings=recipe.quantize.model_dump(mode="json"),
                upstream=inputs,
                libraries=library_versions([*_GRAPHS, *_NUMBERS, "numba", "scipy"]),
            )
        )
    speech = Path(recipe.verify.manifest)
    model = model_stage(recipe)
    return [
        *stages,
        reference_stage(checkpoint, recipe.model.chunk_ms, speech),
        Stage(
            "verify",
            _version(1, "verify", "stream"),
            _verify(model, speech),
            upstream=(model, "reference"),
            files={"speech": manifest_digest(speech)},
            libraries=library_versions([*_NUMBERS, "kaldialign", "whisper-normalizer"]),
        ),
    ]


def sensitivity_chain(recipe: Recipe, checkpoint: Checkpoint) -> list[Stage]:
    """What the damage of each tensor depends on, and its measurement.

    Raises:
        InputError: the recipe quantizes nothing or names no speech, or a manifest is wrong.
        MissingExtraError: a library of the `build` extra is not installed.
    """
    before = {"export", "fuse", "calibrate"}
    stages = [stage for stage in chain(recipe, checkpoint) if stage.name in before]
    return [*stages, sensitivity_stage(recipe)]


def sensitivity_stage(recipe: Recipe) -> Stage:
    """The damage of each tensor at each width on the calibration speech.

    Raises:
        InputError: the recipe quantizes nothing or names no speech, or the manifest is wrong.
    """
    settings = recipe.quantize
    if settings is None or recipe.calibrate is None:
        missing = "quantize" if settings is None else "calibrate"
        raise InputError(
            f"recipe {recipe.name!r} has no {missing}; sensitivity is measured with the algorithm "
            "under quantize on the speech under calibrate, for example --set "
            "calibrate.manifest=FILE"
        )
    algorithm, key, widths = (
        (settings.base, "quantize.base", settings.choices)
        if isinstance(settings, MixedSettings)
        else (settings, "quantize", CHOICES)
    )
    manifest = Path(recipe.calibrate.manifest)
    count = recipe.sensitivity.utterances if recipe.sensitivity else None

    def work(upstream: Mapping[str, Path], out: Path, progress: Progress) -> None:
        from quantkit.sensitivity import measure_sensitivity

        with TemporaryDirectory() as scratch:
            measure_sensitivity(
                upstream["fuse"],
                upstream.get("calibrate"),
                spread(read_manifest(manifest), count),
                algorithm,
                widths,
                out,
                Path(scratch),
                progress,
                key=key,
            )

    return Stage(
        "sensitivity",
        _version(1, "sensitivity", "quantize", "graph", "stream", "verify"),
        work,
        settings={
            # The width of the algorithm itself is not among what is measured.
            **algorithm.model_dump(mode="json", exclude={"bits", "block_size", "rules"}),
            "widths": [width.model_dump(mode="json") for width in widths],
            "utterances": count,
        },
        upstream=("fuse", "calibrate") if algorithm.needs_activations else ("fuse",),
        files={"speech": manifest_digest(manifest)},
        libraries=library_versions([*_GRAPHS, *_NUMBERS, "numba", "scipy"]),
    )


def model_stage(recipe: Recipe) -> str:
    """The stage whose graphs go into the artifact."""
    return "fuse" if recipe.quantize is None else "quantize"


def reference_stage(checkpoint: Checkpoint, chunk_ms: int, speech: Path) -> Stage:
    """What NeMo says about the speech; schemes of one checkpoint share it.

    Raises:
        InputError: the speech manifest is wrong.
    """

    def work(_: Mapping[str, Path], out: Path, progress: Progress) -> None:
        from quantkit.reference import record_reference

        record_reference(checkpoint.path, chunk_ms, speech, out, progress)

    return Stage(
        "reference",
        _version(1, "reference", "export", "stream"),
        work,
        settings={"chunk_ms": chunk_ms},
        files={"checkpoint": checkpoint.sha256, "speech": manifest_digest(speech)},
        libraries=library_versions([*_NEMO, "numpy"]),
    )


def _version(number: int, *rooms: str) -> str:
    return f"{number}+{code_digest([*rooms, 'core'])}"


def _calibrate_stage(manifest: Path) -> Stage:
    def work(upstream: Mapping[str, Path], out: Path, progress: Progress) -> None:
        from quantkit.calibrate import calibrate

        calibrate(upstream["fuse"], manifest, out, progress)

    return Stage(
        "calibrate",
        _version(1, "calibrate", "graph", "quantize", "stream"),
        work,
        upstream=("fuse",),
        files={"speech": manifest_digest(manifest)},
        libraries=library_versions([*_GRAPHS, *_NUMBERS]),
    )


def _export(checkpoint: Path, chunk_ms: int) -> Work:
    def work(_: Mapping[str, Path], out: Path, progress: Progress) -> None:
        from quantkit.export import export_checkpoint

        export_checkpoint(checkpoint, chunk_ms, out, progress)

    return work


def _fuse(upstream: Mapping[str, Path], out: Path, progress: Progress) -> None:
    from quantkit.fuse import fuse_model

    fuse_model(upstream["export"], out, progress)


def _quantize(settings: QuantizeSettings) -> Work:
    def work(upstream: Mapping[str, Path], out: Path, progress: Progress) -> None:
        from quantkit.quantize import quantize_model

        quantize_model(
            upstream["fuse"],
            upstream.get("calibrate"),
            settings,
            out,
            progress,
            upstream.get("sensitivity"),
        )

    return work


def _verify(model: str, speech: Path) -> Work:
    def work(upstream: Mapping[str, Path], out: Path, progress: Progress) -> None:
        from quantkit.verify import verify_model

        verify_model(upstream[model], upstream["reference"], speech, out, progress)

    return work
