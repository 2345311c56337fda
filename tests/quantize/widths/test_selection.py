from __future__ import annotations

import pytest

from quantkit.core.errors import InputError
from quantkit.quantize.settings import BlockScheme, RtnSettings, Rule
from quantkit.quantize.widths.selection import select

NAMES = ["encoder/layers.0.ff.weight", "encoder/layers.1.ff.weight", "joint/out.weight"]


def test_everything_is_chosen_without_globs() -> None:
    settings = RtnSettings()
    assert select(NAMES, settings) == dict.fromkeys(NAMES, settings)


def test_exclusion_wins_over_rules() -> None:
    settings = RtnSettings(exclude=("joint/*",), rules=(Rule(match="*", bits=8),))
    chosen = select(NAMES, settings)
    assert chosen["joint/out.weight"] is None
    first = chosen[NAMES[0]]
    assert isinstance(first, BlockScheme)
    assert first.bits == 8


def test_the_first_rule_that_matches_counts_and_leaves_the_rest_alone() -> None:
    rules = (Rule(match="*layers.0*", bits=8), Rule(match="encoder/*", block_size=64))
    chosen = select(NAMES, RtnSettings(rules=rules))
    widths = [(s.bits, s.block_size) for s in chosen.values() if isinstance(s, BlockScheme)]
    assert widths == [(8, 32), (4, 64), (4, 32)]


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        (RtnSettings(exclude=("joint/*", "encoder/layers.9*")), r"quantize.exclude\[1\]"),
        (
            RtnSettings(rules=(Rule(match="encoder/layers.9*", bits=8),)),
            r"quantize.rules\[0\].match",
        ),
    ],
)
def test_a_glob_that_matches_nothing_names_the_nearest(settings: BlockScheme, key: str) -> None:
    with pytest.raises(InputError, match=rf"{key}: 'encoder/layers.9\*' .* 3 quant.*layers.0.ff"):
        select(NAMES, settings)


def test_no_names_at_all_is_said() -> None:
    with pytest.raises(InputError, match="there is none"):
        select([], RtnSettings(exclude=("*",)))
