"""Recorded prompts as if a scheme had misheard them."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import kaldialign

from quantkit.report.schema import AlignedWord

PARITY = Path(__file__).parents[2] / "calibration" / "asterisk-parity"


def worst_clips(scheme: str) -> tuple[list[dict[str, Any]], dict[str, Path]]:
    chance = random.Random(5)
    lines = (PARITY / "manifest.jsonl").read_text().splitlines()
    worst, audio = [], {}
    for index, line in enumerate(lines[:20]):
        clip = json.loads(line)
        said = clip["text"].split()
        digest = f"{index:064x}"
        audio[digest] = PARITY / clip["audio"]
        decoded = [_misheard(said, chance, rate) for rate in (0.15, 0.5)]
        worst.append(
            {
                "set": "prompts",
                "id": Path(clip["audio"]).stem,
                "digest": digest,
                "duration_s": clip["duration_s"],
                "scheme": scheme,
                "word_errors": kaldialign.edit_distance(said, decoded[1])["total"],
                "reference_word_errors": kaldialign.edit_distance(said, decoded[0])["total"],
                "words": len(said),
                "reference_alignment": _aligned(said, decoded[0]),
                "scheme_alignment": _aligned(said, decoded[1]),
            }
        )
    return worst, audio


def _misheard(said: list[str], chance: random.Random, rate: float) -> list[str]:
    """Some words turned around, some left out, some twice."""
    heard = []
    for word in said:
        kind = chance.choice(["other", "missing", "added"]) if chance.random() < rate else "same"
        heard += {"same": [word], "other": [word[::-1]], "missing": [], "added": [word, word]}[kind]
    return heard


def _aligned(said: list[str], decoded: list[str]) -> list[AlignedWord]:
    pairs = kaldialign.align(said, decoded, "")
    return [AlignedWord(said=a, decoded=b) for a, b in pairs]
