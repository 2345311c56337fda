"""Sets out of `datasets`, on the hub's schema and real prompts."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeVar

import pytest

from quantkit.core.errors import InputError
from quantkit.core.progress import Silent
from quantkit.runtime.audio import read_audio
from quantkit.speech.audio_rows import AudioRows
from quantkit.speech.manifest import read_manifest
from tests.speech.suites import PROMPTS, gathered, of, prompts, state, write_dataset

datasets = pytest.importorskip("datasets")

T = TypeVar("T")
ROOT = Path(__file__).parents[2]
COUNT = 8


class Counts(Silent):
    def __init__(self) -> None:
        self.items = 0

    def track(self, items: Iterable[T], total: int, what: str) -> Iterator[T]:
        for item in items:
            self.items += 1
            yield item


@pytest.fixture(scope="module")
def speech(tmp_path_factory: pytest.TempPathFactory) -> Path:
    splits = {"test.clean": prompts(COUNT), "empty": []}
    return write_dataset(tmp_path_factory.mktemp("hub") / "esb", splits)


@pytest.fixture(autouse=True)
def _own_hub_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "arrow")


@pytest.mark.parametrize("streaming", [True, False])
def test_the_rows_are_the_data_sets_own(speech: Path, tmp_path: Path, streaming: bool) -> None:
    cache = tmp_path / "cache"
    sets = {"clean": of(speech, streaming=streaming)}
    found = gathered(cache, sets)
    one = found.sets["clean"]
    assert (one.source, one.revision) == (f"{speech} (librispeech, test.clean)", None)
    assert (one.exclusions, found.problems) == ([], [])
    for row, utterance in zip(one.utterances, read_manifest(PROMPTS)[:COUNT], strict=True):
        assert (row.id, row.text) == (utterance.audio.stem, utterance.text)
        assert read_audio(row.audio).tobytes() == read_audio(utterance.audio).tobytes()
    before = state(cache)
    assert gathered(cache, sets) == found
    assert state(cache) == before


def test_the_same_utterances_as_from_files(speech: Path, tmp_path: Path) -> None:
    sets = {"a": of(speech), "b": {"manifest": str(PROMPTS), "utterances": COUNT}}
    found = gathered(tmp_path / "cache", sets).sets
    digests = {name: [row.digest for row in one.utterances] for name, one in found.items()}
    assert digests["a"] == digests["b"]


def test_the_first_rows_are_kept_when_more_are_asked_for(speech: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    few = gathered(cache, {"a": of(speech) | {"utterances": 3}}).sets["a"].utterances
    before = state(cache)
    more = gathered(cache, {"a": of(speech)}).sets["a"].utterances
    assert len(few) == 3
    assert [row.digest for row in few] == [row.digest for row in more[:3]]
    flac = {name: facts for name, facts in before.items() if name.endswith(".flac")}
    assert len(flac) == 3
    assert flac.items() <= state(cache).items()


def test_where_the_folder_lies_does_not_matter(speech: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    found = gathered(cache, {"a": of(speech)}).sets["a"]
    before = state(cache / "16000")
    moved = shutil.copytree(speech, tmp_path / "moved")
    assert gathered(cache, {"a": of(moved)}).sets["a"].utterances == found.utterances
    assert state(cache / "16000") == before


KILLED = """
import os, signal, sys
from pathlib import Path
from quantkit.core.progress import Silent
from tests.speech.suites import gathered, of

class Dies(Silent):
    def track(self, items, total, what):
        for number, item in enumerate(items, start=1):
            yield item
            if number == 5:
                os.kill(os.getpid(), signal.SIGKILL)

gathered(Path(sys.argv[2]), {"a": of(sys.argv[1])}, Dies())
"""


@pytest.mark.slow
def test_a_killed_gather_goes_on(speech: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    child = subprocess.run(
        [sys.executable, "-c", KILLED, str(speech), str(cache)],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert child.returncode == -signal.SIGKILL
    begun = {name: facts for name, facts in state(cache).items() if name.endswith(".flac")}
    assert len(begun) == 5
    # As if it had died in the middle of a line.
    (listing,) = (cache / "16000" / "listings").iterdir()
    listing.write_bytes(listing.read_bytes()[:-10])
    found = gathered(cache, {"a": of(speech)})
    assert begun.items() <= state(cache).items()
    undisturbed = gathered(tmp_path / "other", {"a": of(speech)})
    assert [row.digest for row in found.sets["a"].utterances] == [
        row.digest for row in undisturbed.sets["a"].utterances
    ]


def test_speech_that_was_removed_comes_back(speech: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    found = gathered(cache, {"a": of(speech)})
    found.sets["a"].utterances[4].audio.unlink()
    assert gathered(cache, {"a": of(speech)}) == found
    assert found.sets["a"].utterances[4].audio.is_file()


def test_bad_rows_among_good_ones(tmp_path: Path) -> None:
    rows = prompts(6)
    rows[1]["audio"] = {"bytes": rows[1]["audio"]["bytes"][:4000], "path": None}
    rows[2]["audio"] = {"bytes": b"no audio", "path": None}
    rows[3]["audio"] = None
    rows[4]["text"] = None
    rows[5]["text"] = "ignore_time_segment_in_scoring"
    folder = write_dataset(tmp_path / "d", {"test.clean": rows})
    counts = Counts()
    found = gathered(tmp_path / "cache", {"a": of(folder, id=None)}, counts)
    assert found.problems == []
    assert [row.id for row in found.sets["a"].utterances] == ["0"]
    reasons = {one.id: one.reason for one in found.sets["a"].exclusions}
    assert reasons.pop("1").startswith("is damaged or truncated: sample ")
    assert reasons.pop("2").startswith("cannot be read as audio")
    assert reasons == {
        "3": "it has no recording",
        "4": "it has no text",
        "5": "its text says to ignore it in scoring",
    }
    before = state(tmp_path / "cache")
    assert gathered(tmp_path / "cache", {"a": of(folder, id=None)}) == found
    assert state(tmp_path / "cache") == before


@pytest.mark.parametrize(
    ("audio", "reason"),
    [
        (None, "it has no recording"),
        ("a.flac", "it has no recording"),
        ([{"bytes": b"x"}], "it has no recording"),
        ({}, "it has no recording"),
        ({"bytes": 2**40, "path": None}, "it has no recording"),
        ({"bytes": None, "path": 3}, "it has no recording"),
        ({"bytes": None, "path": "/dev/zero"}, "lies outside of the data set, at '/dev/zero'"),
        ({"bytes": None, "path": "../../etc/passwd"}, "lies outside of the data set"),
        ({"bytes": None, "path": "file:///etc/passwd"}, "lies outside of the data set"),
        ({"bytes": None, "path": "http://127.0.0.1/a.flac"}, "lies outside of the data set"),
        ({"bytes": None, "path": "zip://a::http://127.0.0.1/"}, "lies outside of the data set"),
    ],
)
def test_a_row_of_the_hub_names_nothing_else(audio: Any, reason: str) -> None:
    rows = AudioRows("org/esb", datasets.Dataset.from_list([]), "audio", local=False)
    with pytest.raises(InputError, match=reason):
        rows.content(audio)


def test_names_of_strangers_are_made_printable(tmp_path: Path) -> None:
    rows = prompts(2)
    rows[0]["id"], rows[1]["id"] = "\x1b[31m\u202e", "x" * 10_000
    rows[0]["lang"], rows[1]["lang"] = "en", "\x1b"
    folder = write_dataset(tmp_path / "d", {"test.clean": rows})
    found = gathered(tmp_path / "cache", {"a": of(folder)}).sets["a"]
    assert [row.id for row in found.utterances] == [r"\x1b[31m\u202e"]
    (other,) = found.exclusions
    assert len(other.id) <= 200
    assert other.reason == r"its language is '\\x1b', the suite's is 'en'"


@pytest.mark.parametrize("sha", [None, 7, "../../x", "\x1b", "a" * 39, ["a"]])
def test_a_commit_of_the_hub_is_a_commit(
    sha: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = SimpleNamespace(sha=sha)
    monkeypatch.setattr("huggingface_hub.HfApi.dataset_info", lambda *_, **__: answer)
    with pytest.raises(InputError, match="as the commit of 'main' of org/esb, accepted: 40 hexad"):
        gathered(tmp_path, {"a": of("org/esb", revision="main")})


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"text": "texts"}, "dataset.text: found 'texts', accepted for .*: one of its columns"),
        ({"id": "name"}, "dataset.id: found 'name', accepted for .*id, audio_length_s$"),
        ({"language": "texz"}, r"dataset.language: found 'texz', .* Did you mean 'text'\?"),
        ({"text": "audio_length_s"}, "dataset.text: column 'audio_length_s' of .* holds 3.285 in"),
        ({"id": "dataset"}, " found 1 ids that several utterances share, such as librispeech"),
        ({"split": "empty"}, "dataset.split: found no row in split 'empty'"),
        ({"split": "nope"}, "dataset: cannot open .*nope.*test.clean"),
        ({"config": "nope"}, "dataset: cannot open .*nope.*librispeech"),
        ({"name": "./gone"}, "dataset.name: gone is no folder"),
        ({"name": "a/b", "revision": "main"}, "dataset.revision: the hub does not tell the commit"),
    ],
)
def test_problems_of_a_set(
    speech: Path,
    tmp_path: Path,
    keys: dict[str, Any],
    expected: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Nobody listens there.
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    sets = {"bad": of(speech, **keys), "good": {"manifest": str(PROMPTS), "utterances": 1}}
    found = gathered(tmp_path / "cache", sets)
    assert list(found.sets) == ["good"]
    with pytest.raises(InputError, match=rf"^sets\.bad[.:]{expected}"):
        raise InputError(found.problems[0])


def test_languages(tmp_path: Path) -> None:
    def folder(name: str, column: str, codes: list[Any]) -> Path:
        rows = [row | {column: code} for row, code in zip(prompts(3), codes, strict=True)]
        return write_dataset(tmp_path / name, {"test.clean": rows})

    sets = {
        "german": of(folder("german", "locale", ["de", "de-AT", "de"])),
        "mixed": of(folder("mixed", "language", ["en-US", "de", None])),
        "named": of(folder("named", "tongue", ["en", "fr", "EN"]), language="tongue"),
        "unnamed": of(folder("unnamed", "tongue", ["en", "fr", "EN"])),
    }
    found = gathered(tmp_path / "cache", sets)
    assert {name: len(one.utterances) for name, one in found.sets.items()} == {
        "mixed": 2,
        "named": 2,
        "unnamed": 3,
    }
    assert found.sets["named"].exclusions[0].reason == "its language is 'fr', the suite's is 'en'"
    assert found.problems == [
        "sets.german: none of its 3 utterances can be used. "
        "2: its language is 'de', the suite's is 'en'; "
        "1: its language is 'de-AT', the suite's is 'en'"
    ]


def test_languages_as_classes(tmp_path: Path) -> None:
    rows = [row | {"lang_id": code} for row, code in zip(prompts(3), [1, 0, 1], strict=True)]
    folder = write_dataset(tmp_path / "d", {"test.clean": rows})
    path = folder / "librispeech" / "test.clean-00000-of-00001.parquet"
    table = datasets.Dataset.from_parquet(str(path))
    classes = datasets.ClassLabel(names=["de", "en"])
    table.cast_column("lang_id", classes).to_parquet(path)
    found = gathered(tmp_path / "cache", {"a": of(folder)}).sets["a"]
    assert len(found.utterances) == 2
    assert [one.reason for one in found.exclusions] == ["its language is 'de', the suite's is 'en'"]
