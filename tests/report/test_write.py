"""The files of a report."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from base64 import b64decode
from pathlib import Path
from typing import Any

import pytest
import soundfile

from quantkit.core.errors import InputError
from quantkit.report.html import data_uri
from quantkit.report.schema import Report, report_schema
from quantkit.report.write import write_report
from tests.report.clips import PARITY
from tests.report.reports import bare_report, full_report

ROOT = Path(__file__).parents[2]
FILES = ["junit.xml", "report.html", "report.json", "report.md"]

AGAIN = """
import sys
from pathlib import Path
from quantkit.report.write import write_report
from tests.report.reports import full_report
write_report(*full_report(), Path(sys.argv[1]))
"""


@pytest.mark.slow
def test_another_process_writes_the_same_bytes(tmp_path: Path) -> None:
    write_report(*full_report(), tmp_path / "a")
    environment = os.environ | {"PYTHONHASHSEED": "7", "PYTHONPATH": str(ROOT), "TZ": "Asia/Tokyo"}
    command = [sys.executable, "-c", AGAIN, str(tmp_path / "b")]
    subprocess.run(command, check=True, env=environment, cwd=ROOT)
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == FILES
    for name in FILES:
        content = (tmp_path / "a" / name).read_bytes()
        assert content == (tmp_path / "b" / name).read_bytes(), name
        assert str(ROOT).encode() not in content


@pytest.mark.slow
@pytest.mark.parametrize("report", [full_report()[0], bare_report()], ids=["full", "bare"])
def test_what_was_written_is_read(report: Report, tmp_path: Path) -> None:
    write_report(report, full_report()[1], tmp_path)
    text = (tmp_path / "report.json").read_text()
    assert Report.model_validate_json(text, strict=True) == report


def test_the_schema_describes_every_key() -> None:
    schema = report_schema()
    content = full_report()[0].model_dump(mode="json", by_alias=True)
    assert content["schema"] == 1
    assert _differences(content, schema, schema["$defs"], "report") == []
    content["schemes"][0]["sets"]["prompts"]["werr"] = content["gates"][0].pop("limit")
    assert _differences(content, schema, schema["$defs"], "report") == [
        "report.schemes.0.sets.prompts.werr",
        "report.gates.0.limit",
    ]


def _differences(value: Any, schema: dict[str, Any], types: dict[str, Any], at: str) -> list[str]:
    """Keys that a schema does not name, or requires and does not find."""
    kinds = [one for one in schema.get("anyOf", [schema]) if one.get("type") != "null"]
    kind = types[kinds[0]["$ref"].rpartition("/")[2]] if "$ref" in kinds[0] else kinds[0]
    if isinstance(value, list):
        inner = [(str(index), one, kind["items"]) for index, one in enumerate(value)]
    elif isinstance(value, dict):
        keys = kind.get("properties", {})
        every = kind.get("additionalProperties") or {}
        inner = [(key, one, keys.get(key, every)) for key, one in value.items()]
        missing = [f"{at}.{key}" for key in kind.get("required", []) if key not in value]
        unknown = [f"{at}.{key}" for key, _, schema in inner if not schema]
        inner = [one for one in inner if one[2]]
        if missing or unknown:
            return missing + unknown
    else:
        return []
    return [
        line
        for key, one, schema in inner
        for line in _differences(one, schema, types, f"{at}.{key}")
    ]


def test_a_clip_that_cannot_be_read(tmp_path: Path) -> None:
    report, audio = full_report()
    broken = tmp_path / "broken.flac"
    broken.write_bytes(b"fLaC")
    with pytest.raises(InputError, match=r"broken\.flac: decoded speech .* delete the file"):
        write_report(report, audio | {report.worst[3].digest: broken}, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_clips_are_small_and_sound_like_the_original() -> None:
    path = PARITY / "agent-pass.flac"
    kind, _, content = data_uri(path).partition(",")
    assert kind == "data:audio/mpeg;base64"
    decoded, rate = soundfile.read(io.BytesIO(b64decode(content)), dtype="float32")
    original, original_rate = soundfile.read(path, dtype="float32")
    assert rate == original_rate
    assert abs(len(decoded) - len(original)) < 0.1 * rate
    assert len(content) < path.stat().st_size / 2
    loudness = [float((samples**2).mean()) for samples in (decoded, original)]
    assert loudness[0] == pytest.approx(loudness[1], rel=0.1)
