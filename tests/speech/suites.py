"""Suites out of a few sets, data sets as the hub holds them, and what a gather left on the disk."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from quantkit.core.progress import Progress, Silent
from quantkit.evaluate.gather import gather
from quantkit.recipe.suite import SuiteSettings
from quantkit.speech.manifest import read_manifest
from quantkit.speech.utterances import Gathered

PROMPTS = Path(__file__).parents[2] / "calibration" / "asterisk-parity" / "manifest.jsonl"


def suite(sets: Mapping[str, Any], **keys: Any) -> SuiteSettings:
    whole = {"schema": 1, "name": "test", "language": "en", "sets": sets, **keys}
    return SuiteSettings.model_validate_json(json.dumps(whole))


def gathered(
    cache: Path, sets: Mapping[str, Any], progress: Progress | None = None, **keys: Any
) -> Gathered:
    return gather(suite(sets, **keys), cache, 16_000, progress or Silent())


def state(cache: Path) -> dict[str, tuple[int, int]]:
    """Inode and time of every file, which change when it is written again."""
    files = [path for path in cache.rglob("*") if path.is_file() and path.name != "lock"]
    return {str(path): (path.stat().st_ino, path.stat().st_mtime_ns) for path in files}


def prompts(count: int) -> list[dict[str, Any]]:
    """Real prompts as rows of the leaderboard's data sets."""
    return [
        {
            "audio": {"bytes": one.audio.read_bytes(), "path": one.audio.name},
            "dataset": "librispeech",
            "text": one.text,
            "id": one.audio.stem,
            "audio_length_s": one.duration_s,
        }
        for one in read_manifest(PROMPTS)[:count]
    ]


def write_dataset(folder: Path, splits: Mapping[str, Sequence[Mapping[str, Any]]]) -> Path:
    """Parquet files of a configuration `librispeech`; no rows make an empty split."""
    from datasets import Audio, Dataset

    files = []
    (folder / "librispeech").mkdir(parents=True)
    for split, rows in splits.items():
        table = Dataset.from_list(list(rows or prompts(1))).cast_column(
            "audio", Audio(decode=False)
        )
        name = f"librispeech/{split}-00000-of-00001.parquet"
        table.select(range(len(rows))).to_parquet(folder / name)
        files.append(f"  - {{split: {split}, path: {name}}}\n")
    text = f"---\nconfigs:\n- config_name: librispeech\n  data_files:\n{''.join(files)}---\n"
    (folder / "README.md").write_text(text)
    return folder


def of(folder: Path | str, split: str = "test.clean", **keys: Any) -> dict[str, Any]:
    """A set that reads such a data set."""
    source = {"name": str(folder), "config": "librispeech", "split": split, "text": "text"}
    return {"dataset": source | {"id": "id"} | keys}
