"""The errors a user can cause or meet; the command line prints them and exits with their code."""

from __future__ import annotations

from quantkit.core.text import brief, printable


class QuantkitError(Exception):
    """Base of every expected failure.

    The message names the file, the line or key, what was found, what is accepted and what to do.
    Whatever it quotes, it is printable and takes at most 2 kB.
    """

    exit_code = 2

    def __init__(self, message: str) -> None:
        super().__init__(brief(printable(message)))


class InputError(QuantkitError, ValueError):
    """A recipe, checkpoint, audio file or artifact is wrong (exit code 2)."""


class SettingError(InputError):
    """A value of the recipe that only the checkpoint or its graphs can show to be wrong."""

    def __init__(self, key: str, message: str) -> None:
        super().__init__(f"{key}: {message}")
        self.key = key
        self._message = message

    def __reduce__(self) -> tuple[type[SettingError], tuple[str, str]]:
        return type(self), (self.key, self._message)


class GateError(QuantkitError):
    """A measured value missed its gate; the artifact and the report were still written (exit 1)."""

    exit_code = 1


class MissingExtraError(QuantkitError, ImportError):
    """A package of an optional extra is not installed (exit code 3)."""

    exit_code = 3

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(
            f"{package!r} is not installed. It comes with the {extra!r} extra: "
            f"pip install 'quantkit[{extra}]'"
        )
        self._missing = (package, extra)

    def __reduce__(self) -> tuple[type[MissingExtraError], tuple[str, str]]:
        return type(self), self._missing
