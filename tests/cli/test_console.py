"""What a terminal is given of strangers' texts."""

from rich.console import Console

from quantkit.build.progress import progress_on
from quantkit.cli.console import Table, complain, messages, show
from quantkit.core.text import MESSAGE_BYTES

OWNED = "\x1b]0;owned\x07[red]a[/] :smile: \u202e\ud800"
SHOWN = r"\x1b]0;owned\x07[red]a[/] :smile: \u202e\ud800"


def test_a_table_shows_texts_as_they_are(capsys) -> None:
    table = Table(title=OWNED)
    table.add_column(OWNED)
    table.add_row(OWNED)
    show(table)
    assert capsys.readouterr().out.count(SHOWN) == 3


def test_complaints_are_printable_and_brief(capsys) -> None:
    complain(OWNED + "x" * 10_000)
    told = capsys.readouterr().err
    assert told.startswith(f"quantkit: {SHOWN}xxx")
    assert len(told) < MESSAGE_BYTES + 20


def test_messages_have_no_markup(capsys) -> None:
    messages().print("[red]a[/] :smile:")
    assert "[red]a[/] :smile:" in capsys.readouterr().err


def test_progress_shows_names_as_they_are(capsys) -> None:
    for terminal in (True, False):
        progress = progress_on(Console(force_terminal=terminal, width=100, color_system=None))
        progress.cached(OWNED)
        shown = capsys.readouterr().out
        assert SHOWN in shown
        assert "\x07" not in shown
