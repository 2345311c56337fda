from __future__ import annotations

from typing import Any

import pytest

from quantkit.core.errors import InputError
from quantkit.quantize.settings import KQuantSettings, RtnSettings, parse_settings


def test_the_scheme_chooses_the_class() -> None:
    assert parse_settings({"scheme": "rtn", "bits": 8}) == RtnSettings(bits=8)
    values = {"scheme": "kquant", "importance": "activation", "rules": [{"match": "*", "bits": 8}]}
    settings = parse_settings(values)
    assert isinstance(settings, KQuantSettings)
    assert settings.rules[0].bits == 8
    assert settings.needs_activations


def test_defaults() -> None:
    settings = parse_settings({"scheme": "kquant"})
    assert isinstance(settings, KQuantSettings)
    assert (settings.bits, settings.block_size, settings.accuracy_level) == (4, 32, 4)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "scheme"),
        ({"scheme": "magic"}, "'rtn', 'kquant'"),
        ({"scheme": "rtn", "bits": 5}, "rtn.bits: Input should be 2, 4 or 8 .found 5"),
        ({"scheme": "rtn", "block_size": 48}, "16, 32, 64, 128 or 256 .found 48"),
        ({"scheme": "rtn", "importance": "weight"}, "rtn.importance: Extra inputs"),
        ({"scheme": "kquant", "symmetric": True}, "kquant.symmetric: Extra inputs"),
        ({"scheme": "kquant", "accuracy_level": 3}, "0, 1 or 4"),
        ({"scheme": "rtn", "rules": [{"match": "*"}]}, "has to set bits or block_size"),
        ({"scheme": "rtn", "rules": [{"match": "", "bits": 4}]}, "at least 1 character"),
    ],
)
def test_wrong_settings_are_refused_by_key(values: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        parse_settings(values)


@pytest.mark.parametrize(
    ("values", "key"),
    [
        ({"block_size": 16}, "rtn.bits: 2 bits with block_size 16 and accuracy_level 4"),
        ({"block_size": 256}, "rtn.bits: 2 bits with block_size 256"),
        ({"accuracy_level": 1}, "rtn.bits: 2 bits with block_size 32 and accuracy_level 1"),
        ({"rules": [{"match": "a", "block_size": 256}]}, "rtn.rules.0: 2 bits with block_size 256"),
        (
            {"bits": 4, "accuracy_level": 0, "rules": [{"match": "a", "bits": 2}]},
            "rtn.rules.0: 2 bits with block_size 32 and accuracy_level 0",
        ),
    ],
)
def test_two_bits_without_a_kernel_are_refused_by_key(values: dict[str, Any], key: str) -> None:
    with pytest.raises(InputError, match=rf"{key}.* accepted with 2 bits: block_size 32, 64, 128 "):
        parse_settings({"scheme": "rtn", "bits": 2, **values})


@pytest.mark.parametrize("size", [32, 64, 128])
def test_two_bits_with_a_kernel_are_accepted(size: int) -> None:
    rules = [{"match": "a", "bits": 8, "block_size": 16}]
    settings = parse_settings({"scheme": "rtn", "bits": 2, "block_size": size, "rules": rules})
    assert isinstance(settings, RtnSettings)
    assert settings.bits == 2
