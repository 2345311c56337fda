"""What YAML is read, and what of it is refused, with its place and before it grows."""

import pytest

from quantkit.core.errors import InputError
from quantkit.recipe.yaml import MOST_CHARACTERS, parse_yaml
from tests.fuzz.trial import trial


@pytest.mark.parametrize(
    ("text", "data"),
    [
        ("", None),
        ("# nothing\n", None),
        ("\ufeffa: 1", {"a": 1}),
        ("%YAML 1.2\n---\na: [1, 0x1F, 1e3, ~, true, no, 'x', 1_000]\n...\n", None),
        ("day: 2001-12-31\nnone: 2001-99-99", {"day": "2001-12-31", "none": "2001-99-99"}),
        ("? a\n: b", {"a": "b"}),
        ("a: &x {k: 1}\nb: *x\nc: {<<: *x, k: 2}", {"a": {"k": 1}, "b": {"k": 1}, "c": {"k": 2}}),
        ("a: {<<: [{k: 1}, {k: 2, l: 3}]}", {"a": {"k": 1, "l": 3}}),
        ("'<<': 3", {"<<": 3}),
        ("a: &x b\n*x : c", {"a": "b", "b": "c"}),
    ],
)
def test_what_is_read(text, data) -> None:
    if data is None and text.startswith("%"):
        data = {"a": [1, 31, 1000.0, None, True, "no", "x", 1000]}
    assert parse_yaml(text, "r.yaml")[0] == data


def test_every_key_and_item_has_its_place() -> None:
    _, places = parse_yaml("a:\n  - b: 1\n  - &x {c: 2}\nd: {<<: *x, e: 3}\nf: *x\n", "r.yaml")
    assert places == {
        ("a",): "r.yaml:1:1",
        ("a", 0): "r.yaml:2:5",
        ("a", 0, "b"): "r.yaml:2:5",
        ("a", 1): "r.yaml:3:5",
        ("a", 1, "c"): "r.yaml:3:9",
        ("d",): "r.yaml:4:1",
        ("d", "e"): "r.yaml:4:13",
        ("f",): "r.yaml:5:1",
        ("f", "c"): "r.yaml:3:9",
    }


LAUGHS = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n + 1}: &a{n + 1} [{', '.join([f'*a{n}'] * 9)}]\n" for n in range(12)
)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: \x08", "1:4: not valid YAML: found the character '\\x08'"),
        ("a: 1\nb: \x7f", "2:4: not valid YAML: found the character '\\x7f'"),
        ('a: "\\ud800"', "1:4: not valid YAML: found '\\ud800', half of a character"),
        ('a: "\\UFFFFFFFF"', "1:2: not valid YAML: Python int too large"),
        (f"%YAML {'9' * 5000}.1\n---\na", "1:1: not valid YAML: Exceeds the limit"),
        ("%YAML 1.1\n---\na: yes", "2:1: not valid YAML: found a directive"),
        (f"a: {'9' * 5000}", "1:4: not valid YAML: found a number of 5000 digits, accepted: at"),
        ("a: 0x_", "1:4: not valid YAML: found '0x_', which is no int"),
        (f"a: {'[' * 5000}", "1:35: not valid YAML: nests deeper than 32 levels"),
        ("- " * 5000 + "a", "1:65: not valid YAML: nests deeper than 32 levels"),
        ("a: &x [*x]", "1:8: not valid YAML: found alias 'x' inside of what it stands for"),
        ("<<: &x {<<: *x}", "1:13: not valid YAML: found alias 'x' inside of what it stands for"),
        ("a: *x", "1:4: not valid YAML: found undefined alias 'x'"),
        ("a: &x 1\nb: &x 2", "2:4: not valid YAML: found the anchor 'x' twice"),
        ("<<: 3", "1:1: not valid YAML: found a merge of something else"),
        ("a: 1\na: 2", "2:1: not valid YAML: found duplicate key 'a'"),
        ("? [a, b]\n: 1", "1:3: not valid YAML: found something else as a key"),
        ("1: 1", "1:1: not valid YAML: found 1 as a key, accepted: a text"),
        ("~: 1", "1:1: not valid YAML: found ~ as a key"),
        ("a: 1\n---\nb: 2", "2:1: not valid YAML: found a second document"),
        ("a: !!python/object:os.system x", "1:4: not valid YAML: found the tag"),
        (LAUGHS, "1:31: not valid YAML: stands for more than 65536 characters"),
        (f"a: &x {'x' * 60_000}\nb: [*x, *x]", "1:4: not valid YAML: stands for more than 65536"),
        (f"a: [{'[],' * 20_000}]", "not valid YAML: more than 10000 keys and values"),
        ("x" * (MOST_CHARACTERS + 1), "found 65537 characters, accepted: at most 65536"),
    ],
    ids=lambda value: value[:20],
)
def test_what_is_refused(text, expected) -> None:
    message = trial(lambda: parse_yaml(text, "r.yaml"), expected)
    assert message is not None
    assert message.startswith("r.yaml")
    assert expected in message


def test_the_text_is_read_as_it_was_written() -> None:
    with pytest.raises(InputError, match=r"r\.yaml:3:5: not valid YAML: .*duplicate key 'b'"):
        parse_yaml("a:\n    b: 1\n    b: 2\n", "r.yaml")
