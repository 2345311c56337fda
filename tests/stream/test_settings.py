from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from quantkit.core.errors import InputError
from quantkit.stream import StreamingSettings

Content = dict[str, Any]


def test_reads_a_file_and_the_file_of_a_directory(
    tmp_path: Path, streaming_content: Content
) -> None:
    path = tmp_path / "streaming.json"
    path.write_text(json.dumps(streaming_content | {"a_later_key": 1}))
    settings = StreamingSettings.load(path)
    assert settings == StreamingSettings.load(tmp_path)
    assert settings.mel.samples_before == settings.mel.samples_after == 200
    assert settings.chunk_encoder_frames == 2
    assert isinstance(settings.mel.f_max, float)


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"streaming\.json: cannot be read \(No such file"):
        StreamingSettings.load(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", r"streaming\.json:1:2: is not JSON"),
        ("[1, 2]", "no key 'schema'. Found a JSON list"),
        ('{"model_type": "conformer"}', "Found the keys 'model_type'"),
        ('{"schema": 9}', "key 'schema' is 9; this quantkit reads schema 2"),
        ("\udcff", "not UTF-8"),
    ],
)
def test_foreign_files_are_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "streaming.json"
    path.write_text(text, encoding="utf-8", errors="surrogateescape")
    with pytest.raises(InputError, match=message):
        StreamingSettings.load(path)


def test_all_missing_keys_are_named(streaming_content: Content) -> None:
    del streaming_content["blank_id"], streaming_content["chunk_s"]
    with pytest.raises(InputError, match=r"lacks the key\(s\) 'chunk_s', 'blank_id'"):
        StreamingSettings.from_dict(streaming_content)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("mel.n_mels", "128", r"key 'mel\.n_mels' is '128'; a JSON int is expected"),
        ("mel.n_mels", True, r"key 'mel\.n_mels' is True"),
        ("mel.log_guard", float("nan"), "a finite number is expected"),
        ("mel", 3, "key 'mel' is 3; an object is expected"),
        ("right_context", -1, "right_context is -1; at least 0 is accepted"),
        ("chunk_frames", 56, "chunk_frames is 56; 16 follows from the other keys"),
        ("mel.window_length", 600, "at most mel.n_fft"),
        ("mel.f_max", 9000, r"0\.0 to 9000\.0 Hz; a band up to half the rate"),
        ("encoder.heads", 3, "modulo"),
        ("blank_id", 0, "blank_id is 0; 12 follows"),
    ],
)
def test_wrong_values_are_named(
    streaming_content: Content, key: str, value: Any, message: str
) -> None:
    *parents, last = key.split(".")
    target = streaming_content
    for parent in parents:
        target = target[parent]
    target[last] = value
    with pytest.raises(InputError, match=message):
        StreamingSettings.from_dict(streaming_content, Path("a/streaming.json"))
