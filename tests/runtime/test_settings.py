from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from quantkit.core.errors import InputError
from quantkit.runtime.settings import StreamingSettings

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
        (f"{'[' * 100_000}{']' * 100_000}", "nests deeper than 64 levels"),
        (f'{{"schema": 1{"0" * 5000}}}', "a number of 5001 digits"),
        ('{"schema": NaN}', "found NaN, accepted: finite numbers"),
        ('{"schema": true}', "key 'schema' is True"),
    ],
)
def test_foreign_files_are_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "streaming.json"
    path.write_text(text, encoding="utf-8", errors="surrogateescape")
    with pytest.raises(InputError, match=message):
        StreamingSettings.load(path)


def test_caches_of_absurd_size_are_refused(streaming_content: Content) -> None:
    streaming_content["left_context"] = 100_000
    streaming_content["encoder"] = {"dim": 65536, "layers": 1000, "heads": 8, "conv_cache": 8}
    with pytest.raises(InputError, match=r"encoder's caches take \d+ numbers; at most 134217728"):
        StreamingSettings.from_dict(streaming_content)


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
        ("encoder.layers", 10**8, r"encoder\.layers is 100000000; at most 1000 is accepted"),
        ("encoder.dim", 2**60, r"encoder\.dim is \d+; at most 65536"),
        ("encoder.conv_cache", 10**12, "at most 10000"),
        ("predictor.hidden", 10**9, "at most 65536"),
        ("left_context", 10**15, "at most 100000"),
        ("right_context", 10**15, "at most 1000"),
        ("vocabulary_size", 10**9, "at most 1000000"),
        ("max_symbols", 10**9, "at most 1000"),
        ("sample_rate", 10**12, "at most 768000"),
        ("sample_rate", 1, "at least 1000"),
        ("sample_rate", 16001, r"encoder_frame_s is 0\.08; 0\.0799\d* follows"),
        ("mel.n_fft", 2**40, "at most 16384"),
        ("mel.hop_length", 10**12, "at most 16384"),
        ("mel.hop_length", 1, r"mel\.hop_length is 1; at least 7"),
        ("mel.n_mels", 10**9, "at most 512"),
        ("mel.f_min", 10**399, r"key 'mel\.f_min' is 1000.*a finite number is expected"),
        ("mel.preemphasis", 1e300, r"mel\.preemphasis is 1e\+300; at most 1"),
        ("mel.preemphasis", -1.5, "at least -1"),
        ("mel.log_guard", 1e300, "at most 1"),
        ("mel.log_guard", 0.0, "at least 1e-38"),
        ("chunk_s", -1.0, r"chunk_s is -1\.0; 0\.\d+ follows from the other keys"),
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
