"""Damaged checkpoints: refused in words of ours, or loaded."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import yaml

from quantkit.nemo.loading.checkpoint import load_checkpoint
from tests.fuzz.trial import damaged, rounds, trial
from tests.nemo.loading.hostile import CONFIGURATION, WEIGHTS, Parts, sound_parts, tar

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Parts:
    path = tmp_path_factory.mktemp("sound") / "sound.nemo"
    found = sound_parts()
    found.write(path)
    load_checkpoint(path)
    return found


@pytest.mark.parametrize("part", [CONFIGURATION, WEIGHTS, "tokenizer.model", "headers"])
def test_damage_is_refused_in_our_words(part: str, parts: Parts, tmp_path: Path) -> None:
    files = {CONFIGURATION: yaml.safe_dump(parts.config).encode(), **parts.files}
    path = tmp_path / "damaged.nemo"
    for seed in rounds(20, 1000):
        if part == "headers":
            content = bytearray(tar(files))
            size = random.Random(seed).choice((512, 1024, 8192))
            path.write_bytes(damaged(bytes(content[:size]), seed) + content[size:])
        else:
            path.write_bytes(tar(files | {part: damaged(files[part], seed)}))
        message = trial(lambda: load_checkpoint(path), f"{part}, seed {seed}", seconds=5)
        assert message is None or message.startswith(str(path))
