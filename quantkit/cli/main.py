"""Run a command: what goes wrong becomes a message and an exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from types import TracebackType

from cyclopts import CycloptsError

from quantkit.cli.app import app
from quantkit.core.errors import InputError, MissingExtraError, QuantkitError
from quantkit.terminal.console import complain

#: Importable names of the optional extras, for the message when one is missing.
_EXTRAS = {
    "build": "torch nemo onnx onnx_ir onnxscript numba matplotlib pydantic ruamel filelock "
    "sentencepiece kaldialign scipy threadpoolctl psutil whisper_normalizer",
    "eval": "datasets joblib jinja2 junitparser",
    "clients": "onnxruntime_genai sherpa_onnx",
    "cluster": "dask distributed",
    "hub": "huggingface_hub httpx2",
}
_INTERRUPTED, _PIPE_CLOSED, _BUG = 130, 141, 70


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code; no traceback without `--debug`."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in given
    if not debug:
        sys.excepthook = _report_bug
    words = [word for word in given if word != "--debug"]
    try:
        result = app(words, exit_on_error=False, result_action="return_value")
    except CycloptsError:
        return InputError.exit_code  # cyclopts has printed what is wrong
    except KeyboardInterrupt:
        return _INTERRUPTED
    except BrokenPipeError:
        # Whoever read the output has gone; the interpreter must not complain when it flushes.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _PIPE_CLOSED
    except (QuantkitError, OSError, ModuleNotFoundError) as error:
        if debug:
            raise
        return _explain(error)
    return result if isinstance(result, int) else 0


def _explain(error: QuantkitError | OSError | ModuleNotFoundError) -> int:
    """Print an expected failure and return its exit code."""
    if isinstance(error, ModuleNotFoundError) and not isinstance(error, QuantkitError):
        name = (error.name or "").partition(".")[0]
        extras = [extra for extra, names in _EXTRAS.items() if name in names.split()]
        if not extras:
            raise error
        error = MissingExtraError(name, extras[0])
    complain(str(error))
    return error.exit_code if isinstance(error, QuantkitError) else InputError.exit_code


def _report_bug(kind: type[BaseException], error: BaseException, _: TracebackType | None) -> None:
    complain(f"internal error: {kind.__name__}: {error}. Run again with --debug and report it")
    raise SystemExit(_BUG)
