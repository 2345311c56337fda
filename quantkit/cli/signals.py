"""Signals that end the program, as an exception: what is open is put away on the way out."""

from __future__ import annotations

import signal
import sys
import time
from importlib.machinery import ExtensionFileLoader
from types import FrameType

#: What the program says when one of them ends it.
_WORDS = {
    signal.SIGINT: "interrupted",
    signal.SIGTERM: "terminated",
    signal.SIGHUP: "hung up",
}
_AGAIN_S = 0.05
#: C++ that is being loaded ends the process by an abort if Python that it calls raises.
_LOADING = {
    getattr(ExtensionFileLoader, step).__code__ for step in ("create_module", "exec_module")
}
#: What is put away for longer than this may be interrupted too.
_PATIENCE_S = 10.0


class Ended(KeyboardInterrupt):
    """A signal asks the program to end.

    Code that swallows it, as callbacks of C libraries do, is asked again a moment later.
    """

    def __del__(self) -> None:
        if _state.listening:
            signal.setitimer(signal.ITIMER_REAL, _AGAIN_S)


class _State:
    """The first signal that came, when it did, and whether signals end the program."""

    first: signal.Signals | None = None
    since = 0.0
    listening = False


_state = _State()


def listen() -> None:
    """From now on SIGINT, SIGTERM and SIGHUP raise `Ended`, each unless the parent ignores it."""
    _state.listening = True
    signal.signal(signal.SIGALRM, _end)
    for number in _WORDS:
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _end)
    sys.unraisablehook = _unraisable


def deafen() -> None:
    """From now on signals do nothing: what there was to do is done, and the interpreter ends."""
    _state.listening = False
    for number in (*_WORDS, signal.SIGALRM):
        signal.signal(number, signal.SIG_IGN)
    signal.setitimer(signal.ITIMER_REAL, 0)


def farewell() -> tuple[int, str] | None:
    """The exit code for the signal that came first, and what to say of it; None if none came."""
    if _state.first is None:
        return None
    return 128 + _state.first, f"{_WORDS[_state.first]}; give the same command again to go on"


def _end(number: int, frame: FrameType | None) -> None:
    """Raise once; signals that come while things are put away do not disturb that."""
    now = time.monotonic()
    if _state.first is None:
        _state.first, _state.since = signal.Signals(number), now
    elif number != signal.SIGALRM and now - _state.since < _PATIENCE_S:
        return
    while frame is not None:
        if frame.f_code in _LOADING:
            signal.setitimer(signal.ITIMER_REAL, _AGAIN_S)
            return
        frame = frame.f_back
    raise Ended


def _unraisable(problem: sys.UnraisableHookArgs) -> None:
    """Say nothing of destructors and callbacks that were interrupted."""
    if _state.first is None:
        sys.__unraisablehook__(problem)
