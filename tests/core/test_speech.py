import json

import pytest

from quantkit.core.errors import InputError
from quantkit.core.speech import Utterance, manifest_digest, read_manifest


@pytest.fixture
def manifest(tmp_path):
    (tmp_path / "a.wav").write_bytes(b"a")

    def write(*lines):
        path = tmp_path / "m.jsonl"
        path.write_text("".join(f"{line}\n" for line in lines))
        return path

    return write


def test_audio_is_relative_to_the_manifest(manifest, tmp_path) -> None:
    line = {"audio": "a.wav", "text": "one", "speaker": "s", "duration_s": 2}
    path = manifest(json.dumps(line), "", '{"audio": "a.wav"}')
    assert read_manifest(path) == [
        Utterance(tmp_path / "a.wav", "one", "s", 2),
        Utterance(tmp_path / "a.wav"),
    ]


def test_every_wrong_line_is_named(manifest) -> None:
    path = manifest('{"audio": "gone.wav"}', "{", "[]", '{"audio": "a.wav", "text": 3}')
    with pytest.raises(InputError) as caught:
        read_manifest(path)
    lines = str(caught.value).splitlines()
    assert [line.partition("m.jsonl:")[2][0] for line in lines] == ["1", "2", "3", "4"]


def test_a_recording_may_be_missing_where_the_caller_says_so(manifest, tmp_path) -> None:
    path = manifest('{"audio": "gone.wav", "lang": "de"}', '{"audio": "a.wav", "language": "en"}')
    assert read_manifest(path, present=False) == [
        Utterance(tmp_path / "gone.wav", language="de"),
        Utterance(tmp_path / "a.wav", language="en"),
    ]
    with pytest.raises(InputError, match=r"m\.jsonl:1: the recording .*gone\.wav does not exist"):
        read_manifest(path)


def test_missing_and_empty(manifest, tmp_path) -> None:
    with pytest.raises(InputError, match="No such file"):
        read_manifest(tmp_path / "gone.jsonl")
    with pytest.raises(InputError, match="found no utterance"):
        read_manifest(manifest())


def test_the_digest_follows_texts_and_audio_but_not_the_place(manifest, tmp_path) -> None:
    path = manifest('{"audio": "a.wav", "text": "one"}')
    first = manifest_digest(path)
    (tmp_path / "b.wav").write_bytes(b"a")
    assert manifest_digest(manifest('{"audio": "b.wav", "text": "one"}')) == first
    assert manifest_digest(manifest('{"audio": "b.wav", "text": "two"}')) != first
    (tmp_path / "b.wav").write_bytes(b"b")
    assert manifest_digest(manifest('{"audio": "b.wav", "text": "one"}')) != first
