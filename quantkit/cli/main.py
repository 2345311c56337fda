"""Run a command: what goes wrong becomes a message and an exit code."""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:  # nothing else before `main` can hear a signal
    from collections.abc import Sequence
    from types import TracebackType

_INTERRUPTED, _PIPE_CLOSED, _BUG = 130, 141, 70


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code; no traceback without `--debug`.

    Without arguments this is the program: it takes those of its process, ends in good order on
    signals, and keeps standard output clean of what libraries print.
    """
    if arguments is not None:
        return _run(list(arguments))
    try:
        from quantkit.cli import signals

        signals.listen()
        # ONNX Runtime's, which also complains where there is no home to write to.
        os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    except KeyboardInterrupt:  # the interpreter's own, before there were others
        sys.stderr.write("quantkit: interrupted\n")
        return _INTERRUPTED
    try:
        from quantkit.cli.streams import take_output

        take_output()
        code = _run(sys.argv[1:])
    except BaseException:
        # Whatever the signal's exception has become on its way up.
        if (told := _farewell()) is None:
            raise
        code = told
    finally:
        signals.deafen()
    return code


def _run(given: list[str]) -> int:
    debug = "--debug" in given
    if not debug:
        sys.excepthook = _report_bug
    words = [word for word in given if word != "--debug"]
    # What is heavy, here, where a signal in the middle of it does no harm.
    from quantkit.cli.caches import caches
    from quantkit.cli.commands import CycloptsError, app
    from quantkit.cli.console import Screen, complain
    from quantkit.cli.explain import EXPECTED, explain
    from quantkit.cli.signals import farewell
    from quantkit.core.errors import InputError

    try:
        with caches():
            result = app(words, exit_on_error=False, result_action="return_value", console=Screen())
    except CycloptsError:
        return InputError.exit_code  # cyclopts has printed what is wrong
    except BrokenPipeError:
        return _PIPE_CLOSED  # whoever read the output has gone
    except EXPECTED as error:
        if debug or farewell() is not None:
            raise
        code, message = explain(error)
        complain(message)
        return code
    return result if isinstance(result, int) else 0


def _farewell() -> int | None:
    from quantkit.cli.signals import farewell

    ended = farewell()
    if ended is None:
        return None
    code, words = ended
    if sys.stderr is not None:
        sys.stderr.write(f"quantkit: {words}\n")
    return code


def _report_bug(kind: type[BaseException], error: BaseException, _: TracebackType | None) -> None:
    if (told := _farewell()) is not None:
        raise SystemExit(told)
    from quantkit.cli.console import complain

    complain(f"internal error: {kind.__name__}: {error}. Run again with --debug and report it")
    raise SystemExit(_BUG)
