import io

import pytest
from rich.console import Console

from quantkit.build.progress import LineProgress, TerminalProgress, progress_on


def test_lines_say_elapsed_and_remaining(monkeypatch) -> None:
    clock = iter([0.0, 0.0, 20.0, 100.0, 130.0, 130.0])
    monkeypatch.setattr("time.monotonic", lambda: next(clock))
    out = io.StringIO()
    drawn = progress_on(Console(file=out))
    assert isinstance(drawn, LineProgress)
    with drawn.stage("fuse"):
        assert list(drawn.track("abc", 3, "checking")) == ["a", "b", "c"]
    drawn.cached("export")
    assert out.getvalue().splitlines() == [
        "fuse: running",
        "  checking: 1/3, 20.0 s elapsed, 40.0 s remaining",
        "  checking: 2/3, 1:40 elapsed, 50.0 s remaining",
        "fuse: done in 2:10",
        "export: cached",
    ]


def test_lines_without_a_known_end(monkeypatch) -> None:
    clock = iter([0.0, 20.0, 25.0])
    monkeypatch.setattr("time.monotonic", lambda: next(clock))
    out = io.StringIO()
    assert list(LineProgress(Console(file=out)).track("ab", 0, "gather")) == ["a", "b"]
    assert out.getvalue() == "  gather: 1, 20.0 s elapsed\n"


def test_bars_on_a_terminal() -> None:
    out = io.StringIO()
    drawn = progress_on(Console(file=out, force_terminal=True))
    assert isinstance(drawn, TerminalProgress)
    with drawn.stage("fuse"):
        assert list(drawn.track([1, 2], 2, "checking")) == [1, 2]
    assert list(drawn.track([3], 1, "alone")) == [3]
    assert list(drawn.track([4], 0, "without end")) == [4]
    assert "fuse" in out.getvalue()


def test_a_failing_stage_is_not_called_done() -> None:
    out = io.StringIO()
    with pytest.raises(ZeroDivisionError), LineProgress(Console(file=out)).stage("fuse"):
        _ = 1 / 0
    assert out.getvalue() == "fuse: running\n"
