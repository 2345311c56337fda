"""Calibration speech in the chain: where it comes from, and that nothing is judged on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from quantkit.build.engine import Stage, Workspace, run, stage_version
from quantkit.build.progress import StageProgress
from quantkit.build.store import Store
from quantkit.core.errors import InputError, SettingError
from quantkit.core.text import one_line
from quantkit.core.versions import library_versions
from quantkit.recipe.schema import Recipe
from quantkit.speech.dataset import dataset_digest, fetch_dataset
from quantkit.speech.manifest import Recording, read_manifest
from quantkit.speech.overlap import shared_recordings
from quantkit.speech.recordings import find_recordings, recordings_below, recordings_digest, told
from quantkit.speech.settings import CalibrateSettings, DatasetSettings

_STAGE = "speech"
#: Pairs of files that a message names; the others are counted.
_NAMED = 5


def speech_stages(recipe: Recipe) -> list[Stage]:
    """What has to run before any stage that hears the calibration speech.

    Raises:
        SettingError: the data set is a folder that does not exist.
        MissingExtraError: `datasets` is not installed.
    """
    if recipe.calibrate is None or recipe.calibrate.dataset is None:
        return []
    return [dataset_stage(recipe.calibrate.dataset, Path(recipe.verify.manifest))]


def dataset_stage(settings: DatasetSettings, evaluation: Path) -> Stage:
    """The recordings of a data set; chains of all checkpoints and schemes share them.

    They are refused where one of them is in the manifest `evaluation`.

    Raises:
        SettingError: the data set is a folder that does not exist.
        MissingExtraError: `datasets` is not installed.
    """

    def work(space: Workspace) -> None:
        fetch_dataset(settings, space.out, space.scratch, space.progress)

    def accept(fetched: Path) -> None:
        source = CalibrateSettings(dataset=settings)
        judged = [utterance.recording for utterance in read_manifest(evaluation)]
        what = f"verify.manifest {evaluation}"
        refuse_shared(source, find_recordings(source, fetched), judged, what)

    return Stage(
        _STAGE,
        stage_version(1, "speech.dataset"),
        work,
        settings=settings.model_dump(mode="json"),
        files={"dataset": dataset_digest(settings)},
        libraries=library_versions(["datasets"], extra="eval"),
        accept=accept,
    )


def speech_inputs(settings: CalibrateSettings) -> tuple[tuple[str, ...], dict[str, str]]:
    """What a stage that hears the calibration speech depends on: `upstream` and `files` of it.

    Raises:
        SettingError: the speech is missing or wrong.
    """
    if settings.dataset is not None:
        return (_STAGE,), {}
    return (), {"speech": recordings_digest(find_recordings(settings))}


def calibration_recordings(
    settings: CalibrateSettings, upstream: Mapping[str, Path]
) -> list[Recording]:
    """The calibration recordings, for a stage with `speech_inputs`."""
    return find_recordings(settings, upstream.get(_STAGE))


def check_speech(recipe: Recipe) -> None:
    """Refuse calibration speech on this machine that the recipe also verifies with.

    Speech of a data set is checked by its stage, as soon as it is here.

    Raises:
        InputError: it is, or one of both is missing or wrong.
    """
    if recipe.calibrate is not None and recipe.calibrate.dataset is None:
        evaluation = Path(recipe.verify.manifest)
        judged = [utterance.recording for utterance in read_manifest(evaluation)]
        refuse_shared(
            recipe.calibrate,
            find_recordings(recipe.calibrate),
            judged,
            f"verify.manifest {evaluation}",
        )


def left_out(recipe: Recipe) -> str | None:
    """A word about what looks like speech in the recipe's folder and is not calibrated on.

    Raises:
        SettingError: the folder is missing or has no recording.
    """
    if recipe.calibrate is None or recipe.calibrate.folder is None:
        return None
    folder = Path(recipe.calibrate.folder)
    try:
        found = recordings_below(folder)
    except InputError as error:
        raise SettingError(recipe.calibrate.key, str(error)) from error
    if not found.left_out:
        return None
    count, words = len(found.recordings), told(found.left_out, folder)
    return f"{recipe.calibrate.key}: {count} recordings in {one_line(str(folder))}{words}"


def check_judged(
    recipe: Recipe, judged: Sequence[Recording], what: str, store: Store, progress: StageProgress
) -> None:
    """Refuse to judge a recipe's artifact on its calibration speech; `what` names the speech.

    Raises:
        InputError: a recording of `judged` is also calibrated on, or a recording is wrong.
    """
    if recipe.calibrate is None:
        return
    fetched = run(speech_stages(recipe), store, recipe.name, progress)
    directory = fetched[_STAGE].directory if fetched else None
    refuse_shared(recipe.calibrate, find_recordings(recipe.calibrate, directory), judged, what)


def refuse_shared(
    settings: CalibrateSettings,
    recordings: Sequence[Recording],
    judged: Sequence[Recording],
    what: str,
) -> None:
    """Compare by decoded samples, so that a copy in another lossless format is found too.

    Raises:
        SettingError: a recording is also among `judged`, which `what` names.
    """
    pairs = shared_recordings(recordings, judged)
    if not pairs:
        return
    named = [f"{recording} is {other}" for recording, other in pairs[:_NAMED]]
    more = [f"and {len(pairs) - _NAMED} more"] if len(pairs) > _NAMED else []
    raise SettingError(
        settings.key,
        f"found recordings that {what} has too, and a model must not be judged on what it was "
        f"calibrated on: {', '.join([*named, *more])}; remove them from one of the two",
    )
