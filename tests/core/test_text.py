import pytest

from quantkit.core.errors import InputError
from quantkit.core.text import MESSAGE_BYTES, brief, one_line, printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b]0;owned\x07", r"\x1b]0;owned\x07"),
        ("a\rb\x9bc\x7f", r"a\rb\x9bc\x7f"),
        ("\u202etxt.exe", r"\u202etxt.exe"),
        ("lone \udce9", r"lone \udce9"),
        ("grüße 你好 ▁\n\t", "grüße 你好 ▁\n\t"),
    ],
)
def test_what_acts_on_a_terminal_is_escaped(text, shown) -> None:
    assert printable(text) == shown
    assert printable(shown) == shown


def test_a_name_stays_on_its_line() -> None:
    assert one_line("a\nb\t\x1b") == r"a\nb\t\x1b"


@pytest.mark.slow
def test_messages_are_bounded_and_printable() -> None:
    message = str(InputError("a.yaml:1: found '" + "\x1bé" * 10**6 + "', accepted: an integer"))
    assert len(message.encode()) <= MESSAGE_BYTES
    assert message.startswith("a.yaml:1: found '")
    assert message.endswith("', accepted: an integer")
    assert "more characters" in message
    assert "\x1b" not in message


def test_of_many_lines_whole_ones_are_left_out() -> None:
    lines = [f"line {number}" for number in range(10_000)]
    shown = brief("\n".join(lines)).split("\n")
    (gap,) = [line for line in shown if line not in lines]
    assert gap == f"({len(lines) - len(shown) + 1} more lines)"
    assert shown[0] == lines[0]
    assert shown[-1] == lines[-1]
    assert brief("short\n") == "short\n"
