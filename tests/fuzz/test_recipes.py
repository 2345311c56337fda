"""Recipes, suites, overrides and manifests that somebody broke, by a seed: told, soon, in words."""

import json
import random
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from tests.fuzz.trial import rounds

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
VALUES = [
    *(None, True, -1, 0, 1e9, 10**300, 1.5, "", "a\0b", "../" * 2000, "x" * 300, "\ud800"),
    *([], {}, [[[]]], "a\u2028b", "a\x85b", "a\fb", "audio.flac"),
]


@pytest.mark.parametrize("seed", rounds(150, 2500))
def test_a_recipe_or_suite_with_other_values_and_keys(seed, tmp_path) -> None:
    chance = random.Random(seed)
    source = chance.choice(SEEDS)
    data = YAML(typ="safe", pure=True).load(source)
    odd = [_changed(data, chance) for _ in range(chance.choice((1, 1, 2, 4)))]
    text = json.dumps(data)
    for number, value in enumerate(odd):
        text = text.replace(f'"@{number}@"', value)
        data = text
    _load(source, text.encode("utf-8", "surrogatepass"), tmp_path, f"seed {seed}")
