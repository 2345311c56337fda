"""Recipes, suites, overrides and manifests that somebody broke, by a seed: told, soon, in words."""

import json
import random
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from quantkit.recipe.load import load_recipe
from quantkit.recipe.suite_file import load_suite
from quantkit.speech.manifest import read_manifest
from tests.fuzz.trial import damaged, rounds, trial

ROOT = Path(__file__).parents[2]
SEEDS = sorted((ROOT / "recipes").rglob("*.yaml"))
MANIFEST = ROOT / "calibration" / "asterisk-parity" / "manifest.jsonl"
RECIPE = ROOT / "recipes" / "demo-mixed-published.yaml"
LAUGHS = "".join(f"&a{n} [{', '.join([f'*a{n - 1}'] * 9)}], " for n in range(1, 12))
#: YAML that no key of a recipe accepts, and some that one does.
ODD = [
    *(".inf", "-.inf", ".nan", "1e400", "-1", "0", "1.5", "true", "~", "''", "[]", "{}", "[[]]"),
    *("2001-99-99", "2001-12-31", "9" * 5000, "1" + "0" * 350, "0x_", "1_0", "12:30:45"),
    *(r'"\ud800"', r'"\0"', r'"\x1b]0;owned\a"', r'"\UFFFFFFFF"', '"\u202e"', "\x08", "\x7f"),
    *("[" * 2000, "{a: " * 40, "- " * 3000, "&x [*x]", "&x {<<: *x}", "*gone", "{<<: 3}"),
    *("{1: 2}", "{~: 1}", "{[a]: 1}", "{2001-01-01: 1}", "{? {a: b} : c}", "{a: 1, a: 2}"),
    *("!!python/object:os.system x", "!!binary a", "!x y", "! 1", "'x", '"x', "| \n", ">-\n x"),
    *("x" * 5000, "x" * 70_000, f"[{'{}, ' * 3000}]", f"[{'x, ' * 3000}]", f"[&a0 [x], {LAUGHS}]"),
    *("hf://../..@x", "hf://a/b@../..", "/dev/zero", "rtn", "mixed", "budget", "demo", "1\n---\n2"),
]
KEYS = ["", "<<", "scheme", "rtn", "rules", "by", "a.b", "x" * 300, "\ud800", "\x1b", "kquant"]
FIELDS = ["audio", "audio_filepath", "text", "offset", "duration", "duration_s", "lang", "speaker"]
VALUES: list[Any] = [
    *(None, True, -1, 0, 1e9, 10**300, 1.5, "", "a\0b", "../" * 2000, "x" * 300, "\ud800"),
    *([], {}, [[[]]], "a\u2028b", "a\x85b", "a\fb", "audio.flac"),
]


def load(source: Path, content: bytes, folder: Path, what: str) -> None:
    """Try a recipe or suite that was made of a shipped one."""
    path = folder / source.name
    path.write_bytes(content)
    reader = load_suite if source.parent.name == "suites" else load_recipe
    trial(lambda: reader(path), f"{what} of {source.name}")


def holders(data: Any) -> list[Any]:
    """Every list and mapping in plain data."""
    inside = data.values() if isinstance(data, dict) else data if isinstance(data, list) else []
    below = [holder for value in inside for holder in holders(value)]
    return [data, *below] if isinstance(data, dict | list) and data else below


def change(data: dict[str, Any], value: Any, chance: random.Random) -> None:
    """Put a value somewhere: in the place of another, under another key, or take something away."""
    holder = chance.choice(holders(data))
    keys = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
    key = chance.choice(keys)
    match chance.randrange(5):
        case 0 | 1:
            holder[key] = value
        case 2 if isinstance(holder, dict):
            holder[chance.choice(KEYS)] = value
        case 3 if isinstance(holder, dict):
            holder[chance.choice(KEYS)] = holder.pop(key)
        case 4 if len(keys) > 1:
            del holder[key]
        case _:
            holder[key] = [holder[key]] * chance.choice((0, 2, 500))


@pytest.mark.parametrize("seed", rounds(150, 2500))
def test_other_values_and_keys(seed: int, tmp_path: Path) -> None:
    chance = random.Random(seed)
    source = chance.choice(SEEDS)
    data = YAML(typ="safe", pure=True).load(source)
    odd = {f"@{number}@": chance.choice(ODD) for number in range(chance.choice((1, 1, 2, 4)))}
    for name in odd:
        change(data, name, chance)
    text = json.dumps(data)
    for name, value in odd.items():
        text = text.replace(f'"{name}"', value)
    load(source, text.encode(), tmp_path, f"seed {seed}")


@pytest.mark.parametrize("seed", rounds(150, 2500))
def test_other_bytes(seed: int, tmp_path: Path) -> None:
    source = SEEDS[seed % len(SEEDS)]
    load(source, damaged(source.read_bytes(), seed), tmp_path, f"seed {seed}")


@pytest.mark.parametrize("seed", rounds(60, 1000))
def test_overrides(seed: int) -> None:
    chance = random.Random(seed)
    words = ["quantize", "rules", "0", "9" * 400, "bits", "widths", "by", "", "model", "verify"]
    overrides = [
        ".".join(chance.choices(words, k=chance.choice((1, 1, 2, 3, 60))))
        + chance.choice(("=", "=", "=", "", "=="))
        + chance.choice(ODD)
        for _ in range(chance.choice((1, 1, 2, 5)))
    ]
    trial(lambda: load_recipe(RECIPE, overrides), f"seed {seed}: {overrides!r:.200}")


@pytest.mark.parametrize("seed", rounds(60, 1000))
def test_manifests(seed: int, tmp_path: Path) -> None:
    chance = random.Random(seed)
    lines = MANIFEST.read_text().splitlines()[:20]
    for _ in range(chance.choice((1, 2, 20))):
        line = json.loads(lines[0])
        for _ in range(chance.choice((1, 2, 3))):
            line[chance.choice(FIELDS)] = chance.choice(VALUES)
        lines.insert(chance.randrange(20), json.dumps(line, ensure_ascii=chance.random() < 0.5))
    content = "\n".join(lines * chance.choice((1, 1, 40))).encode("utf-8", "surrogatepass")
    path = tmp_path / "m.jsonl"
    path.write_bytes(damaged(content, seed) if seed % 2 else content)
    trial(lambda: read_manifest(path, present=seed % 3 == 0), f"seed {seed}")
