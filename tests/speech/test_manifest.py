import json
from typing import Any

import pytest

from quantkit.core.errors import InputError
from quantkit.speech.manifest import Segment, Utterance, manifest_digest, read_manifest, read_texts


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


@pytest.mark.parametrize("text", ["a\u2028b", "a\x85b", "a\x0cb", "a\u2029b", "a\x0bb", "grüße"])
def test_only_a_newline_ends_a_line(tmp_path, text) -> None:
    (tmp_path / "a.wav").write_bytes(b"a")
    path = tmp_path / "m.jsonl"
    lines = [f'{{"audio": "a.wav", "text": "{text}"}}', '{"audio": "a.wav"}', "{"]
    path.write_bytes("\r\n".join(lines[:2]).encode())
    assert [one.text for one in read_manifest(path)] == [text, None]
    path.write_bytes("\n".join(lines).encode())
    with pytest.raises(InputError, match=r"m\.jsonl:3:2: is not JSON"):
        read_manifest(path)


def test_a_byte_order_mark_is_read(tmp_path) -> None:
    (tmp_path / "a.wav").write_bytes(b"a")
    path = tmp_path / "m.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"audio": "a.wav"}\n')
    assert read_manifest(path) == [Utterance(tmp_path / "a.wav")]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("[" * 100_000 + "]" * 100_000, "nests deeper than 64 levels"),
        ('{"audio": "a.wav", "offset": NaN}', "found NaN, accepted: finite numbers"),
        ('{"audio": "a.wav", "duration_s": ' + "9" * 5000 + "}", "found a number of 5000 digits"),
        ('{"audio": "a.wav", "duration": 1' + "0" * 350 + "}", "accepted: 0 to 10000000 seconds"),
        ('{"audio": "a\\u0000b.wav"}', "'a\\x00b.wav' is the name of no file"),
        ('{"audio": "' + "a" * 300 + '.wav"}', "is the name of no file"),
        ('{"audio": "\\ud800.wav"}', "is the name of no file"),
        ('{"audio": "a.wav", "text": "\\ud800"}', "\"text\" is '\\ud800', accepted: a text"),
        ('{"audio": "a.wav", "audio_filepath": "b.wav"}', 'accepted: an object with "audio" or'),
        ('{"audio_filepath": ["a.wav", "b.wav"]}', 'accepted: an object with "audio" or'),
        ('{"audio": "a.wav", "channel_selector": 1}', '"channel_selector" is not heeded here'),
        ('{"audio": "a.wav", "offset": -1}', '"offset" is -1, accepted: 0 to 10000000 seconds'),
        ('{"audio": "a.wav", "offset": "1"}', "\"offset\" is '1', accepted: seconds"),
        ('{"audio": "a.wav", "offset": true}', '"offset" is True, accepted: seconds'),
        ('{"audio": "a.wav", "duration": 0}', '"duration" is 0, accepted: the seconds of'),
        ('{"audio": "a.wav", "offset": 1, "duration_s": 2}', '"offset" with "duration_s", which'),
    ],
    ids=lambda value: value[:30],
)
def test_a_wrong_line_is_told_with_its_number(manifest, line, expected) -> None:
    with pytest.raises(InputError) as caught:
        read_manifest(manifest('{"audio": "a.wav"}', line))
    assert "m.jsonl:2: " in str(caught.value)
    assert expected in str(caught.value)


def test_of_many_wrong_lines_some_are_told_and_the_others_counted(manifest) -> None:
    with pytest.raises(InputError) as caught:
        read_manifest(manifest(*["{}"] * 1000))
    assert str(caught.value).endswith("and 980 more lines are wrong")
    assert "m.jsonl:1: accepted" in str(caught.value)


def nemo(**keys: Any) -> str:
    return json.dumps({"audio_filepath": "a.wav", **keys})


def test_offset_and_duration_are_those_of_nemo(manifest, tmp_path) -> None:
    audio = tmp_path / "a.wav"
    path = manifest(
        nemo(offset=1.5, duration=2, text="part"),
        nemo(duration=2.25),
        nemo(offset=3),
        nemo(offset=0, duration_s=9),
    )
    part, first, rest, whole = read_manifest(path)
    assert part == Utterance(audio, "part", duration_s=2, segment=Segment(audio, 1.5, 2))
    assert first.recording == Segment(audio, 0.0, 2.25)
    assert rest.recording == Segment(audio, 3, None)
    assert (whole.recording, whole.duration_s) == (audio, 9)


def test_the_digest_follows_the_part(manifest) -> None:
    lines = [nemo(), nemo(duration=2), nemo(offset=1), nemo(offset=1, duration=2)]
    assert len({manifest_digest(manifest(line)) for line in lines}) == 4


def test_the_texts_of_parts_follow_each_other(manifest, tmp_path) -> None:
    (tmp_path / "b.wav").write_bytes(b"b")
    path = manifest(
        nemo(offset=3, text="two"),
        nemo(duration=2.5, text="one"),
        json.dumps({"audio": "b.wav", "text": "all"}),
        nemo(offset=9),
    )
    texts = read_texts(path)
    assert texts[(tmp_path / "a.wav").resolve()] == (
        "(0.000 to 2.500 s) one (3.000 s to the end) two"
    )
    assert texts[(tmp_path / "b.wav").resolve()] == "all"
