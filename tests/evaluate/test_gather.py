"""Sets of files: what is gathered, what is excluded, what is not done twice."""

import json
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest
import soundfile

from quantkit.core.errors import InputError
from quantkit.core.progress import Silent
from quantkit.evaluate.gather import gather
from quantkit.recipe.suite_file import load_suite
from quantkit.runtime.audio import read_audio
from quantkit.speech.digests import FileDigests
from quantkit.speech.manifest import Segment, read_manifest
from quantkit.speech.utterances import Exclusion
from tests.speech.suites import gathered, state

T = TypeVar("T")


def written(folder: Path, *lines: Mapping[str, Any]) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "m.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return str(folder / "m.jsonl")


@pytest.fixture
def clips(parity_manifest, tmp_path) -> Path:
    """Three real prompts."""
    folder = tmp_path / "clips"
    folder.mkdir()
    for utterance, name in zip(read_manifest(parity_manifest), "abc", strict=False):
        shutil.copyfile(utterance.audio, folder / f"{name}.flac")
    return folder


def test_the_shipped_prompts(parity_manifest, tmp_path) -> None:
    prompts = load_suite(parity_manifest)
    found = gather(prompts, tmp_path, 16_000, Silent())
    one = found.sets["asterisk-parity"]
    utterances = read_manifest(parity_manifest)
    assert (one.source, one.revision) == (str(parity_manifest), None)
    assert [row.text for row in one.utterances] == [row.text for row in utterances]
    assert (found.problems, one.exclusions, found.long_form) == ([], [], None)
    for row, utterance in zip(one.utterances, utterances, strict=True):
        assert row.id == utterance.audio.name
        # The prompts are 16-bit files at this rate.
        assert read_audio(row.audio).tobytes() == read_audio(utterance.audio).tobytes()

    before = state(tmp_path)
    began = time.perf_counter()
    again = gather(prompts, tmp_path, 16_000, Silent())
    took = time.perf_counter() - began
    assert again == found
    assert state(tmp_path) == before
    assert took < 1.0  # measured: 0.02 s


def test_each_exclusion_has_its_reason(clips, tmp_path) -> None:
    (clips / "bad.flac").write_bytes((clips / "a.flac").read_bytes()[:5000])
    soundfile.write(clips / "nan.wav", np.array([0, np.nan]), 16_000, subtype="FLOAT")
    soundfile.write(clips / "empty.wav", np.zeros(0), 16_000)
    soundfile.write(clips / "quiet.wav", np.zeros(160), 16_000)
    manifest = written(
        clips,
        {"audio": "a.flac", "text": "one", "lang": "en-GB"},
        {"audio": "b.flac", "text": "zwei", "language": "de"},
        {"audio": "c.flac"},
        {"audio": "bad.flac", "text": "x"},
        {"audio": "nan.wav", "text": "x"},
        {"audio": "empty.wav", "text": "x"},
        {"audio": "gone.wav", "text": "x"},
        {"audio": "quiet.wav", "text": "Ignore_Time_Segment in scoring."},
        {"audio": "../clips/quiet.wav", "text": "uh, [noise]"},
    )
    found = gathered(tmp_path / "cache", {"mine": {"manifest": manifest}})
    mine = found.sets["mine"]
    # A sample that is not finite is heard as silence.
    assert [row.id for row in mine.utterances] == ["a.flac", "nan.wav"]
    reasons = {one.id: one.reason for one in mine.exclusions}
    assert all(isinstance(one, Exclusion) and one.set_name == "mine" for one in mine.exclusions)
    assert reasons.pop("bad.flac").startswith("is damaged or truncated: sample ")
    assert reasons.pop("empty.wav").startswith("has a header but no samples")
    assert reasons == {
        "b.flac": "its language is 'de', the suite's is 'en'",
        "c.flac": "it has no text",
        "gone.wav": "the recording is missing",
        "quiet.wav": "its text says to ignore it in scoring",
        "../clips/quiet.wav": "nothing is left of its text after normalization",
    }
    assert str(tmp_path) not in " ".join(one.reason for one in mine.exclusions)


def test_a_folder_has_its_texts_beside_the_recordings(clips, tmp_path) -> None:
    (clips / "a.txt").write_text("one\n")
    (clips / "deep").mkdir()
    shutil.move(clips / "b.flac", clips / "deep" / "b.flac")
    (clips / "deep" / "b.txt").write_bytes(b"\xff")
    found = gathered(tmp_path / "cache", {"mine": {"folder": str(clips)}}).sets["mine"]
    assert [(row.id, row.text) for row in found.utterances] == [("a.flac", "one")]
    assert [(one.id, one.reason) for one in found.exclusions] == [
        ("c.flac", "it has no text"),
        ("deep/b.flac", "its text b.txt is not UTF-8"),
    ]


def test_a_problem_leaves_the_other_sets(clips, tmp_path) -> None:
    good = written(clips, {"audio": "a.flac", "text": "one"})
    twice = written(
        clips / "twice", *[{"audio": "../a.flac", "text": text} for text in ("one", "two")]
    )
    german = written(
        clips / "german",
        *[{"audio": f"../{name}.flac", "text": "eins", "lang": "de"} for name in "abc"],
    )
    sets = {
        "gone": {"manifest": str(tmp_path / "gone.jsonl")},
        "good": {"manifest": good},
        "nowhere": {"folder": str(tmp_path / "nowhere")},
        "twice": {"manifest": twice},
        "german": {"manifest": german},
    }
    found = gathered(tmp_path / "cache", sets)
    assert list(found.sets) == ["good"]
    told = dict(problem.split(": ", 1) for problem in found.problems)
    assert list(told) == ["sets.gone", "sets.nowhere", "sets.twice", "sets.german"]
    assert "cannot read the speech manifest: No such file" in told["sets.gone"]
    assert told["sets.nowhere"].startswith(f"{tmp_path / 'nowhere'} is no folder")
    assert told["sets.twice"].startswith(
        "found 1 ids that several utterances share, such as ../a.flac"
    )
    assert told["sets.german"] == (
        "none of its 3 utterances can be used. 3: its language is 'de', the suite's is 'en'"
    )
    del sets["good"]
    with pytest.raises(InputError) as caught:
        gathered(tmp_path / "cache", sets)
    assert str(caught.value).splitlines() == found.problems


def test_some_are_compared_deeply(parity_manifest, tmp_path) -> None:
    sets = {"a": {"manifest": str(parity_manifest), "utterances": 10}}
    found = gathered(tmp_path, sets, distributions=4).sets["a"].utterances
    assert [row.deep for row in found] == [number in {0, 2, 5, 7} for number in range(10)]
    assert all(row.deep for row in gathered(tmp_path, sets).sets["a"].utterances)
    assert not any(
        row.deep for row in gathered(tmp_path, sets, distributions=0).sets["a"].utterances
    )


def test_a_long_recording_takes_turns(clips, tmp_path) -> None:
    lines = [{"audio": f"{name}.flac", "text": name} for name in "abc"]
    sets = {
        "one": {"manifest": written(clips, *lines), "utterances": 2},
        "two": {"folder": str(clips)},
    }
    (clips / "c.txt").write_text("c")
    found = gathered(tmp_path / "cache", sets, long_form_s=20)
    joined = found.long_form
    assert joined is not None
    assert (joined.set_name, joined.text, joined.deep, joined.duration_s) == (
        "long-form",
        None,
        True,
        20.0,
    )
    pause = np.zeros(8000, np.float32)
    turns = [piece for name in "acbacb" for piece in (read_audio(clips / f"{name}.flac"), pause)]
    assert read_audio(joined.audio).tobytes() == np.concatenate(turns)[: 20 * 16_000].tobytes()
    before = state(tmp_path / "cache")
    assert gathered(tmp_path / "cache", sets, long_form_s=20) == found
    assert state(tmp_path / "cache") == before


def test_another_text_is_another_utterance_of_the_same_speech(clips, tmp_path) -> None:
    digests, audio = set(), set()
    for text in ("one", "two", "one"):
        sets = {"a": {"manifest": written(clips, {"audio": "a.flac", "text": text})}}
        (utterance,) = gathered(tmp_path / "cache", sets).sets["a"].utterances
        digests.add(utterance.digest)
        audio.add(utterance.audio)
    assert (len(digests), len(audio)) == (2, 1)


def test_parts_of_a_file_are_utterances_of_their_own(clips, tmp_path) -> None:
    whole = read_audio(clips / "a.flac")
    manifest = written(
        clips,
        {"audio_filepath": "a.flac", "offset": 0.25, "duration": 0.5, "text": "one"},
        {"audio_filepath": "a.flac", "offset": 0.75, "text": "two"},
        {"audio_filepath": "a.flac", "offset": 99, "duration": 1, "text": "gone"},
        {"audio": "a.flac", "text": "all"},
    )
    found = gathered(tmp_path / "cache", {"mine": {"manifest": manifest}}).sets["mine"]
    one, two, everything = found.utterances
    assert [row.id for row in found.utterances] == [
        "a.flac (0.250 to 0.750 s)",
        "a.flac (0.750 s to the end)",
        "a.flac",
    ]
    assert read_audio(one.audio).tobytes() == whole[4000:12_000].tobytes()
    assert read_audio(two.audio).tobytes() == whole[12_000:].tobytes()
    assert one.sources == [one.audio, Segment(clips / "a.flac", 0.25, 0.5)]
    assert everything.sources == [everything.audio]
    (gone,) = found.exclusions
    assert gone.id == "a.flac (99.000 to 100.000 s)"
    assert gone.reason.startswith(f"holds {len(whole) / 16_000:.3f} s of audio, and a manifest's")


def test_what_a_folder_holds_besides_is_excluded(clips, tmp_path) -> None:
    (clips / "a.txt").write_bytes(b"\xef\xbb\xbfone")
    (clips / "b.txt").mkdir()
    (clips / "memo.m4a").write_bytes(b"x")
    (clips / "gone.wav").symlink_to("nowhere")
    shutil.copyfile(clips / "a.flac", clips / "\x1b[31m\u202e.flac")
    other = tmp_path / "disk2"
    other.mkdir()
    shutil.move(clips / "c.flac", other / "c.flac")
    (other / "c.txt").write_text("c" * 2**21)
    (clips / "more").symlink_to(other)
    found = gathered(tmp_path / "cache", {"mine": {"folder": str(clips)}}).sets["mine"]
    assert [(row.id, row.text) for row in found.utterances] == [("a.flac", "one")]
    assert {one.id: one.reason for one in found.exclusions} == {
        r"\x1b[31m\u202e.flac": "it has no text",
        "b.flac": "it has no text",
        "gone.wav": "it is a broken link",
        "memo.m4a": "m4a is not read, accepted: the formats of libsndfile",
        "more/c.flac": "its text c.txt takes more than 1048576 bytes",
    }


class Stops(Silent):
    def track(self, items: Iterable[T], total: int, what: str) -> Iterator[T]:
        for number, item in enumerate(items):
            if number == 2:
                raise KeyboardInterrupt
            yield item


def test_an_interrupted_gather_goes_on(parity_manifest, tmp_path) -> None:
    prompts = load_suite(parity_manifest)
    with pytest.raises(KeyboardInterrupt):
        gather(prompts, tmp_path, 16_000, Stops())
    begun = {name: facts for name, facts in state(tmp_path).items() if name.endswith(".flac")}
    assert len(begun) == 3
    gather(prompts, tmp_path, 16_000, Silent())
    assert begun.items() <= state(tmp_path).items()


def test_a_changed_file_has_a_new_digest(tmp_path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"one")
    first = FileDigests(tmp_path / "kept").of(path)
    assert FileDigests(tmp_path / "kept").of(path) == first
    assert len((tmp_path / "kept").read_text().splitlines()) == 1
    path.write_bytes(b"two")
    assert FileDigests(tmp_path / "kept").of(path) != first
