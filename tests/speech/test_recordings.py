from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from quantkit.core.errors import InputError, SettingError
from quantkit.speech.manifest import Segment
from quantkit.speech.recordings import find_recordings, recordings_below, recordings_digest, told
from quantkit.speech.settings import CalibrateSettings


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
    names = [str(path)[len(f"{folder}/") :] for path in found]
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
    (folder / "b.wav").rename(folder / "a.wav")
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


def test_links_to_folders_are_followed_once(folder: Path, tmp_path_factory) -> None:
    other = tmp_path_factory.mktemp("disk2")
    soundfile.write(other / "e.wav", np.zeros(1600), 16_000)
    (folder / "a-link").symlink_to(folder / "deep")
    (folder / "loop").symlink_to(folder)
    (folder / "more").symlink_to(other)
    (other / "back").symlink_to(other)
    (folder / "itself").symlink_to("itself")
    names = [path.relative_to(folder).as_posix() for path in recordings_below(folder).recordings]
    assert names == ["b.wav", "d.mp3", "deep/c.ogg", "deep/er/a.FLAC", "more/e.wav"]


def test_what_is_left_out_is_named(folder: Path) -> None:
    (folder / "memo.M4A").write_bytes(b"x")
    (folder / "gone.wav").symlink_to("nowhere")
    found = recordings_below(folder)
    assert len(found.recordings) == 4
    assert {path.name: why for path, why in found.left_out.items()} == {
        "gone.wav": "it is a broken link",
        "memo.M4A": "m4a is not read, accepted: the formats of libsndfile",
    }
    assert told(found.left_out, folder) == (
        "; left out: gone.wav (it is a broken link), memo.M4A (m4a is not read, accepted: the "
        "formats of libsndfile)"
    )
    assert told({}, folder) == ""


def test_a_folder_of_nothing_else_says_what_is_there(tmp_path: Path) -> None:
    for number in range(9):
        (tmp_path / f"{number}.m4a").write_bytes(b"x")
    with pytest.raises(InputError, match=r"found no recording .*left out: 0\.m4a .*and 4 more"):
        recordings_below(tmp_path)


def test_parts_are_found_and_pinned(folder: Path) -> None:
    manifest = folder / "m.jsonl"
    manifest.write_text('{"audio_filepath": "b.wav", "offset": 0.02, "duration": 0.05}\n')
    found = find_recordings(CalibrateSettings(manifest=str(manifest)))
    assert found == [Segment(folder / "b.wav", 0.02, 0.05)]
    assert recordings_digest(found) != recordings_digest([folder / "b.wav"])
    assert recordings_digest(found) != recordings_digest([Segment(folder / "b.wav", 0.02, 0.06)])
