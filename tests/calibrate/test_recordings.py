from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from quantkit.calibrate import CalibrateSettings, find_recordings, recordings_digest
from quantkit.core.errors import SettingError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("b.wav", "deep/er/a.FLAC", "deep/c.ogg", "d.mp3"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, np.zeros(1600), 16_000)
    (tmp_path / "notes.txt").write_text("no audio")
    (tmp_path / "folder.wav").mkdir()
    return tmp_path


def test_a_folder_is_searched_in_a_fixed_order(folder: Path) -> None:
    found = find_recordings(CalibrateSettings(folder=str(folder)))
    names = [path.relative_to(folder).as_posix() for path in found]
    assert names == ["b.wav", "d.mp3", "deep/c.ogg", "deep/er/a.FLAC"]


def test_a_manifest_keeps_its_order(folder: Path) -> None:
    manifest = folder / "m.jsonl"
    manifest.write_text('{"audio": "d.mp3"}\n{"audio": "b.wav"}\n')
    found = find_recordings(CalibrateSettings(manifest=str(manifest)))
    assert found == [folder / "d.mp3", folder / "b.wav"]


def test_the_digest_is_of_the_content_in_order(folder: Path) -> None:
    found = find_recordings(CalibrateSettings(folder=str(folder)))
    first = recordings_digest(found)
    assert recordings_digest(found[::-1]) != first
    found[0].rename(folder / "a.wav")
    assert recordings_digest(find_recordings(CalibrateSettings(folder=str(folder)))) == first
    soundfile.write(folder / "a.wav", np.ones(1600), 16_000)
    assert recordings_digest(find_recordings(CalibrateSettings(folder=str(folder)))) != first


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"folder": "gone"}, "calibrate.folder: gone is no folder"),
        ({"folder": "."}, "calibrate.folder: found no recording in . or below it, accepted: .aif"),
        ({"manifest": "gone.jsonl"}, "calibrate.manifest: gone.jsonl: cannot read the speech"),
    ],
)
def test_errors_name_the_key(
    settings: dict[str, str], expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SettingError) as caught:
        find_recordings(CalibrateSettings.model_validate(settings))
    assert str(caught.value).startswith(expected)
