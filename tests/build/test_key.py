from dataclasses import replace

import pytest

from quantkit.build.key import StageKey, differences

KEY = StageKey("quantize", "1", {"bits": 4, "rules": []}, {"fuse": "a" * 64}, {"numpy": "2.0"})


@pytest.mark.parametrize(
    "other",
    [
        replace(KEY, stage="fuse"),
        replace(KEY, version="2"),
        replace(KEY, settings={"bits": 8, "rules": []}),
        replace(KEY, inputs={"fuse": "b" * 64}),
        replace(KEY, libraries={"numpy": "2.1"}),
    ],
)
def test_every_part_decides_the_digest(other) -> None:
    assert other.digest != KEY.digest


def test_the_order_of_settings_does_not() -> None:
    assert replace(KEY, settings={"rules": [], "bits": 4}).digest == KEY.digest


def test_differences_name_the_field_and_both_values() -> None:
    new = replace(KEY, settings={"bits": 8, "rules": []}, libraries={"numpy": "2.1"})
    assert differences(new.as_json(), KEY.as_json()) == [
        "library numpy 2.0 -> 2.1",
        "settings.bits 4 -> 8",
    ]


def test_differences_of_inputs_are_short_and_name_what_appears() -> None:
    new = replace(KEY, inputs={"fuse": "b" * 64}, settings={"bits": 4, "rules": [], "scheme": "x"})
    assert differences(new.as_json(), KEY.as_json()) == [
        "input fuse aaaaaaaa -> bbbbbbbb",
        "settings.scheme absent -> x",
    ]
