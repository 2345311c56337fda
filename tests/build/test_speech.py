"""Where calibration speech comes from, and that nothing is judged on it."""

import io
import json
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
import soundfile
from rich.console import Console

from quantkit.build.artifact import plan_build
from quantkit.build.calibration import calibrate_recipe
from quantkit.build.engine import run
from quantkit.build.progress import LineProgress
from quantkit.build.speech import calibration_recordings, dataset_stage, left_out, speech_inputs
from quantkit.build.store import Store
from quantkit.core.errors import InputError, MissingExtraError, SettingError
from quantkit.recipe.load import load_recipe
from quantkit.speech.settings import CalibrateSettings, DatasetSettings
from tests.build.toy import STORE, make_workshop, toy_build

SAMPLES = [
    np.random.default_rng(seed).integers(-9999, 9999, 8000, dtype=np.int16) for seed in range(3)
]
CALIBRATED = ("quantize={scheme: kquant, importance: activation}",)


def write(folder: Path, name: str, seed: int) -> None:
    (folder / name).parent.mkdir(exist_ok=True)
    soundfile.write(folder / name, SAMPLES[seed], 16_000)


@pytest.fixture
def workshop(tmp_path, monkeypatch) -> Path:
    """A recipe that verifies on recording 0, and other recordings beside it."""
    make_workshop(tmp_path)
    write(tmp_path, "one.wav", 0)
    write(tmp_path, "speech/other.flac", 1)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_recording_that_is_verified_on_is_refused_before_any_work(workshop, monkeypatch) -> None:
    write(workshop, "speech/copy.flac", 0)
    overrides = (*CALIBRATED, "calibrate.folder=speech")
    with pytest.raises(SettingError) as caught:
        toy_build(monkeypatch, workshop, overrides=overrides)
    message = str(caught.value)
    assert message.startswith("calibrate.folder: found recordings that verify.manifest speech.j")
    assert "speech/copy.flac is one.wav;" in message
    assert not STORE.exists()
    recipe = load_recipe(Path("recipe.yaml"), overrides)
    with pytest.raises(SettingError, match=r"calibrate\.folder"):
        plan_build(recipe, workshop / "out", Store(STORE))
    with pytest.raises(SettingError, match=r"calibrate\.folder"):
        calibrate_recipe(recipe, Store(STORE), LineProgress(Console(quiet=True)))


def test_other_recordings_are_accepted(workshop, monkeypatch) -> None:
    toy_build(monkeypatch, workshop, overrides=(*CALIBRATED, "calibrate.folder=speech"))


def test_a_long_list_is_cut(workshop, monkeypatch) -> None:
    for number in range(7):
        write(workshop, f"speech/{number}.wav", 0)
    with pytest.raises(SettingError, match="and 2 more; remove them"):
        toy_build(monkeypatch, workshop, overrides=(*CALIBRATED, "calibrate.folder=speech"))


def test_speech_that_no_scheme_hears_is_not_looked_at(workshop, monkeypatch) -> None:
    toy_build(monkeypatch, workshop, overrides=("calibrate.folder=gone",))


def test_what_the_key_of_a_stage_holds(workshop) -> None:
    upstream, files = speech_inputs(CalibrateSettings(folder="speech"))
    assert upstream == ()
    assert files.keys() == {"speech"}
    settings = CalibrateSettings(dataset=DatasetSettings(name="a/b", revision="1"))
    assert speech_inputs(settings) == (("speech",), {})


@pytest.fixture
def dataset(workshop) -> DatasetSettings:
    """Recordings 1 and 0, in this order."""
    datasets = pytest.importorskip("datasets")
    rows = []
    for seed in (1, 0):
        file = io.BytesIO()
        soundfile.write(file, SAMPLES[seed], 16_000, format="FLAC")
        rows.append({"audio": {"bytes": file.getvalue(), "path": None}})
    (workshop / "set").mkdir()
    datasets.Dataset.from_list(rows).to_parquet(workshop / "set" / "train.parquet")
    return DatasetSettings(name="./set")


def fetch(settings: DatasetSettings) -> Path:
    stage = dataset_stage(settings, Path("speech.jsonl"))
    return run([stage], Store(STORE), "toy", LineProgress(Console(quiet=True)))["speech"].directory


def test_a_data_set_is_checked_when_it_is_here_and_when_it_is_found_again(
    workshop, dataset
) -> None:
    refused = pytest.raises(SettingError, match=r"calibrate\.dataset: .*000001\.flac is one\.wav")
    with refused:
        fetch(dataset)
    with refused:
        fetch(dataset)
    (workshop / "speech.jsonl").write_text(json.dumps({"audio": "speech/other.flac"}))
    with pytest.raises(SettingError, match=r"000000\.flac is speech/other\.flac"):
        fetch(dataset)


def test_its_recordings_are_heard(workshop, dataset) -> None:
    more = workshop / "set" / "more"
    more.write_text("a file more is another data set")
    settings = dataset.model_copy(update={"utterances": 1})
    fetched = fetch(settings)
    assert calibration_recordings(CalibrateSettings(dataset=settings), {"speech": fetched}) == [
        fetched / "000000.flac"
    ]
    more.unlink()
    assert fetch(settings) != fetched


def test_a_missing_extra_is_told_before_any_work(monkeypatch) -> None:
    def version(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", version)
    with pytest.raises(MissingExtraError, match=r"quantkit\[eval\]"):
        dataset_stage(DatasetSettings(name="a/b", revision="1"), Path("speech.jsonl"))


def test_a_recipe_without_speech(workshop) -> None:
    recipe = load_recipe(Path("recipe.yaml"))
    with pytest.raises(InputError, match="recipe 'toy' names no speech to calibrate on"):
        calibrate_recipe(recipe, Store(STORE), LineProgress(Console(quiet=True)))


def test_a_word_about_what_a_folder_holds_besides(workshop) -> None:
    recipe = load_recipe(workshop / "recipe.yaml", (*CALIBRATED, "calibrate.folder=speech"))
    assert left_out(recipe) is None
    (workshop / "speech" / "memo.m4a").write_bytes(b"x")
    assert left_out(recipe) == (
        "calibrate.folder: 1 recordings in speech; left out: memo.m4a (m4a is not read, accepted: "
        "the formats of libsndfile)"
    )
    assert left_out(load_recipe(workshop / "recipe.yaml")) is None


def test_a_part_of_what_is_verified_on_is_refused(workshop, monkeypatch) -> None:
    line = {"audio_filepath": "one.wav", "offset": 0.1, "duration": 0.2}
    Path("parts.jsonl").write_text(json.dumps(line))
    overrides = (*CALIBRATED, "calibrate.manifest=parts.jsonl")
    with pytest.raises(SettingError, match=r"one\.wav \(0\.100 to 0\.300 s\) is one\.wav"):
        toy_build(monkeypatch, workshop, overrides=overrides)
