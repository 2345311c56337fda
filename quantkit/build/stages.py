"""The stages of a recipe: what each does, and what its result depends on.

The rooms are imported when a stage runs, so that a plan does not wait for torch.
"""

from __future__ import annotations

from pathlib import Path

from quantkit.build.checkpoint import Checkpoint
from quantkit.build.engine import Stage, Workspace, stage_version
from quantkit.build.speech import calibration_recordings, speech_inputs, speech_stages
from quantkit.core.errors import InputError, SettingError
from quantkit.core.versions import library_versions
from quantkit.evaluate.system import NemoSystem
from quantkit.quantize.settings import BlockScheme
from quantkit.quantize.widths.settings import CHOICES, MixedSettings
from quantkit.recipe.schema import QuantizeSettings, Recipe
from quantkit.speech.manifest import manifest_digest
from quantkit.speech.settings import CalibrateSettings

#: What the verify stage leaves.
PARITY = "parity.json"

_NEMO = ("torch", "nemo_toolkit")
_GRAPHS = ("onnx", "onnx-ir", "onnxscript")
_NUMBERS = ("numpy", "onnxruntime")


def chain(recipe: Recipe, checkpoint: Checkpoint) -> list[Stage]:
    """Export, fuse, what the recipe's scheme needs, the scheme itself, verify.

    Raises:
        InputError: a speech manifest is wrong.
        MissingExtraError: a library of the `build` extra is not installed.
    """
    if recipe.needs_sensitivity():
        stages = sensitivity_chain(recipe, checkpoint)
    elif recipe.needs_calibration():
        stages = calibration_chain(recipe, checkpoint, hessians=recipe.needs_hessians())
    else:
        stages = [export_stage(checkpoint, recipe.model.chunk_ms), fuse_stage()]
    if recipe.quantize is not None:
        stages.append(quantize_stage(recipe.quantize))
    return [*stages, verify_stage(recipe, checkpoint)]


def calibration_chain(recipe: Recipe, checkpoint: Checkpoint, *, hessians: bool) -> list[Stage]:
    """Export, fuse and calibrate, after fetching speech where it comes from a data set.

    Raises:
        InputError: the recipe names no speech, or what it names is missing or wrong.
        MissingExtraError: a library of an extra is not installed.
    """
    if recipe.calibrate is None:
        raise InputError(
            f"recipe {recipe.name!r} names no speech to calibrate on, accepted: calibrate: with "
            "manifest, folder or dataset; for example --set calibrate.manifest=FILE"
        )
    return [
        *speech_stages(recipe),
        export_stage(checkpoint, recipe.model.chunk_ms),
        fuse_stage(),
        calibrate_stage(recipe.calibrate, hessians=hessians),
    ]


def sensitivity_chain(recipe: Recipe, checkpoint: Checkpoint) -> list[Stage]:
    """Export, fuse, calibrate where the scheme needs it, and the damage of each tensor.

    Raises:
        InputError: the recipe quantizes nothing or names no speech, or what it names is missing or
            wrong.
        MissingExtraError: a library of an extra is not installed.
    """
    stages = (
        calibration_chain(recipe, checkpoint, hessians=recipe.needs_hessians())
        if recipe.needs_calibration()
        else [
            *speech_stages(recipe),
            export_stage(checkpoint, recipe.model.chunk_ms),
            fuse_stage(),
        ]
    )
    return [*stages, sensitivity_stage(recipe)]


def model_stage(recipe: Recipe) -> str:
    """The stage whose graphs go into the artifact."""
    return "fuse" if recipe.quantize is None else "quantize"


def export_stage(checkpoint: Checkpoint, chunk_ms: int) -> Stage:
    """The graphs of a checkpoint for one chunk length."""

    def work(space: Workspace) -> None:
        from quantkit.nemo.export.stage import export_checkpoint

        export_checkpoint(checkpoint.path, chunk_ms, space.out, space.progress)

    return Stage(
        "export",
        stage_version(1, "nemo.export.stage"),
        work,
        settings={"chunk_ms": chunk_ms},
        files={"checkpoint": checkpoint.sha256},
        libraries=library_versions([*_NEMO, *_GRAPHS]),
    )


def fuse_stage() -> Stage:
    """The exported graphs, rewritten."""

    def work(space: Workspace) -> None:
        from quantkit.graph.fusion import fuse_model

        fuse_model(space.upstream["export"], space.out, space.progress)

    return Stage(
        "fuse",
        stage_version(1, "graph.fusion"),
        work,
        upstream=("export",),
        libraries=library_versions([*_GRAPHS, *_NUMBERS]),
    )


def calibrate_stage(settings: CalibrateSettings, *, hessians: bool) -> Stage:
    """Second moments of the matrices' inputs on the recipe's speech.

    Raises:
        InputError: the speech is missing or wrong.
    """

    def work(space: Workspace) -> None:
        from quantkit.calibrate.statistics import calibrate

        calibrate(
            space.upstream["fuse"],
            calibration_recordings(settings, space.upstream),
            space.out,
            space.scratch,
            space.progress,
            hessians=hessians,
        )

    upstream, files = speech_inputs(settings)
    return Stage(
        "calibrate",
        stage_version(1, "calibrate.statistics"),
        work,
        settings={"hessians": hessians},
        upstream=("fuse", *upstream),
        files=files,
        libraries=library_versions([*_GRAPHS, *_NUMBERS, "scipy"]),
    )


def sensitivity_stage(recipe: Recipe) -> Stage:
    """The damage of each tensor at each width on the recipe's speech.

    Raises:
        InputError: the recipe quantizes nothing or names no speech, or the speech is wrong.
    """
    settings, speech = recipe.quantize, recipe.calibrate
    if settings is None or speech is None:
        missing = "quantize" if settings is None else "calibrate"
        raise InputError(
            f"recipe {recipe.name!r} has no {missing}; sensitivity is measured with the algorithm "
            "under quantize on the speech under calibrate, for example --set "
            "calibrate.manifest=FILE"
        )
    if isinstance(settings, MixedSettings):
        algorithm: BlockScheme = settings.base
        key, widths = "quantize.base", settings.choices
    elif isinstance(settings, BlockScheme):
        algorithm, key, widths = settings, "quantize", CHOICES
    else:
        raise SettingError(
            "quantize.scheme",
            f"found {settings.scheme!r}, which gives single tensors no width; accepted: an "
            "algorithm that does, such as 'kquant'",
        )
    utterances = recipe.sensitivity.utterances if recipe.sensitivity else None

    def work(space: Workspace) -> None:
        from quantkit.calibrate.sensitivity.measure import measure_sensitivity
        from quantkit.speech.manifest import spread

        measure_sensitivity(
            space.upstream["fuse"],
            space.upstream.get("calibrate"),
            spread(calibration_recordings(speech, space.upstream), utterances),
            algorithm,
            widths,
            space.out,
            space.scratch,
            space.progress,
            key=key,
        )

    upstream, files = speech_inputs(speech)
    return Stage(
        "sensitivity",
        stage_version(1, "calibrate.sensitivity.measure"),
        work,
        settings={
            # The algorithm's own width is not what is measured.
            **algorithm.model_dump(mode="json", exclude={"bits", "block_size", "rules"}),
            "widths": [width.model_dump(mode="json") for width in widths],
            "utterances": utterances,
        },
        upstream=("fuse", *(["calibrate"] if algorithm.needs_activations else []), *upstream),
        files=files,
        libraries=library_versions([*_GRAPHS, *_NUMBERS, *algorithm.libraries]),
    )


def quantize_stage(settings: QuantizeSettings) -> Stage:
    """The fused graphs in few bits; after the stages that the settings need."""

    def work(space: Workspace) -> None:
        from quantkit.quantize.graphs import quantize_model

        quantize_model(
            space.upstream["fuse"],
            space.upstream.get("calibrate"),
            settings,
            space.out,
            space.progress,
            space.upstream.get("sensitivity"),
        )

    needed = {
        "fuse": True,
        "calibrate": settings.needs_activations,
        "sensitivity": isinstance(settings, MixedSettings) and settings.needs_sensitivity,
    }
    return Stage(
        "quantize",
        stage_version(1, "quantize.graphs"),
        work,
        settings=settings.model_dump(mode="json"),
        upstream=tuple(name for name, wanted in needed.items() if wanted),
        libraries=library_versions([*_GRAPHS, *_NUMBERS, *settings.libraries]),
    )


def verify_stage(recipe: Recipe, checkpoint: Checkpoint) -> Stage:
    """What the recipe's graphs say, against what NeMo says; schemes of a checkpoint share that.

    Raises:
        InputError: the speech manifest is wrong.
    """
    model, chunk_ms, speech = model_stage(recipe), recipe.model.chunk_ms, recipe.verify.manifest

    def work(space: Workspace) -> None:
        from quantkit.core.files import write_json
        from quantkit.evaluate.verification import verify_on_manifest

        pytorch = streaming_reference(checkpoint, chunk_ms)
        parity = verify_on_manifest(
            space.upstream[model], pytorch, Path(speech), space.store, space.progress
        )
        write_json(space.out / PARITY, parity)

    return Stage(
        "verify",
        stage_version(1, "evaluate.verification"),
        work,
        settings={"chunk_ms": chunk_ms},
        upstream=(model,),
        files={"checkpoint": checkpoint.sha256, "speech": manifest_digest(Path(speech))},
        libraries=library_versions([*_NEMO, *_NUMBERS, "kaldialign", "whisper-normalizer"]),
    )


def streaming_reference(checkpoint: Checkpoint, chunk_ms: int) -> NemoSystem:
    """PyTorch streaming in chunks of this length: what graphs are compared with."""
    name = f"PyTorch, {chunk_ms} ms"
    return NemoSystem(name, checkpoint.path, checkpoint.sha256, "streaming", chunk_ms)
