from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest
import soundfile

from quantkit.core.errors import MissingExtraError, SettingError
from quantkit.core.progress import Silent
from quantkit.speech.dataset import dataset_digest, fetch_dataset
from quantkit.speech.settings import DatasetSettings

datasets = pytest.importorskip("datasets")

T = TypeVar("T")
FORMATS = ["FLAC", "WAV", "MP3", "OGG", "FLAC"]


def recording(seed: int, kind: str) -> bytes:
    file = io.BytesIO()
    samples = np.random.default_rng(seed).normal(size=8000) * 0.1
    soundfile.write(file, samples, 16_000, format=kind)
    return file.getvalue()


CONTENTS = [recording(seed, kind) for seed, kind in enumerate(FORMATS)]


def write(folder: Path, rows: list[dict[str, Any]], *, typed: bool = True) -> Path:
    """A data set as the hub holds it: parquet files with the audio's bytes."""
    table = datasets.Dataset.from_list(rows)
    if typed:
        table = table.cast_column("audio", datasets.Audio(decode=False))
    (folder / "data").mkdir(parents=True, exist_ok=True)
    table.to_parquet(folder / "data" / "train-00000-of-00001.parquet")
    return folder


@pytest.fixture(scope="module")
def speech(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rows = [{"audio": {"bytes": content, "path": None}, "text": "x"} for content in CONTENTS]
    return write(tmp_path_factory.mktemp("dataset"), rows)


def fetched(settings: DatasetSettings, folder: Path, progress: Silent | None = None) -> Path:
    out = folder / "out"
    for path in (out, folder / "scratch"):
        path.mkdir(parents=True, exist_ok=True)
    fetch_dataset(settings, out, folder / "scratch", progress or Silent())
    return out


def test_the_recordings_are_the_data_sets_own(speech: Path, tmp_path: Path) -> None:
    out = fetched(DatasetSettings(name=str(speech)), tmp_path)
    lines = [json.loads(line) for line in (out / "manifest.jsonl").read_text().splitlines()]
    names = [line["audio"] for line in lines]
    assert names == [f"{number:06d}.{kind.lower()}" for number, kind in enumerate(FORMATS)]
    assert [(out / name).read_bytes() for name in names] == CONTENTS
    assert {line["duration_s"] for line in lines} == {0.5}


def test_only_the_first_are_taken(speech: Path, tmp_path: Path) -> None:
    out = fetched(DatasetSettings(name=str(speech), utterances=2), tmp_path)
    assert len(list(out.glob("0*"))) == 2


def test_an_untyped_column_of_that_name_will_do(tmp_path: Path) -> None:
    rows = [{"audio": {"bytes": CONTENTS[0], "path": None}}]
    out = fetched(DatasetSettings(name=str(write(tmp_path / "d", rows, typed=False))), tmp_path)
    assert (out / "000000.flac").read_bytes() == CONTENTS[0]


def test_a_path_is_read_where_there_are_no_bytes(tmp_path: Path) -> None:
    (tmp_path / "a.flac").write_bytes(CONTENTS[0])
    rows = [{"audio": {"bytes": None, "path": str(tmp_path / "a.flac")}}]
    out = fetched(DatasetSettings(name=str(write(tmp_path / "d", rows))), tmp_path)
    assert (out / "000000.flac").read_bytes() == CONTENTS[0]


class Stops(Silent):
    def track(self, items: Iterable[T], total: int, what: str) -> Iterator[T]:
        for number, item in enumerate(items):
            if number == 2:
                raise KeyboardInterrupt
            yield item


class Counts(Silent):
    def __init__(self) -> None:
        self.items = 0

    def track(self, items: Iterable[T], total: int, what: str) -> Iterator[T]:
        for item in items:
            self.items += 1
            yield item


def test_nothing_is_fetched_twice(speech: Path, tmp_path: Path) -> None:
    settings = DatasetSettings(name=str(speech))
    with pytest.raises(KeyboardInterrupt):
        fetched(settings, tmp_path, Stops())
    counts = Counts()
    out = fetched(settings, tmp_path, counts)
    assert counts.items == 3
    undisturbed = fetched(settings, tmp_path / "whole")
    assert [p.read_bytes() for p in sorted(out.iterdir())] == [
        p.read_bytes() for p in sorted(undisturbed.iterdir())
    ]


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"split": "nope"}, r"calibrate\.dataset: cannot open .*nope.*train"),
        ({"config": "nope"}, r"calibrate\.dataset: cannot open .*nope"),
    ],
)
def test_what_the_data_set_has_not(
    speech: Path, tmp_path: Path, keys: dict[str, str], expected: str
) -> None:
    with pytest.raises(SettingError, match=expected):
        fetched(DatasetSettings(name=str(speech), **keys), tmp_path)


def test_rows_that_are_no_recordings(tmp_path: Path) -> None:
    text = write(tmp_path / "text", [{"words": "hello"}], typed=False)
    with pytest.raises(SettingError, match="found 0 columns of audio among words, accepted: one"):
        fetched(DatasetSettings(name=str(text)), tmp_path)
    noise = write(tmp_path / "noise", [{"audio": {"bytes": b"no audio", "path": None}}])
    with pytest.raises(SettingError, match=r"calibrate\.dataset: .*recording 0 cannot be read"):
        fetched(DatasetSettings(name=str(noise)), tmp_path)


def test_a_folders_digest_is_of_its_content(speech: Path, tmp_path: Path) -> None:
    settings = DatasetSettings(name=str(tmp_path))
    empty = dataset_digest(settings)
    (tmp_path / "a").write_bytes(b"a")
    assert dataset_digest(settings) != empty
    with pytest.raises(SettingError, match=r"calibrate\.dataset\.name: .*gone is no folder"):
        dataset_digest(DatasetSettings(name="./gone"))


def test_a_hub_data_set_is_what_its_revision_says() -> None:
    one, two = (dataset_digest(DatasetSettings(name="a/b", revision=name)) for name in "12")
    assert one != two


def test_the_extra_is_named(speech: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'quantkit\[eval\]'"):
        fetched(DatasetSettings(name=str(speech)), tmp_path)
