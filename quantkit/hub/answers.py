"""What a model hub answers, checked before it becomes part of a path or of a message."""

from __future__ import annotations

import re
from typing import Any

from quantkit.core.errors import InputError

COMMIT = re.compile(r"[0-9a-f]{40}")
#: What clients raise for answers of another shape than the hub's.
MALFORMED = (AssertionError, AttributeError, LookupError, TypeError)


def checked_commit(value: Any, where: str) -> str:
    """A commit as the hub tells it.

    Raises:
        InputError: it is none.
    """
    if not isinstance(value, str) or not COMMIT.fullmatch(value):
        raise InputError(f"{where}: the hub says {value!r:.80} is the commit, which is none")
    return value


def unreachable(error: Exception) -> str | None:
    """Why no request leaves this machine, where that is the reason of an error."""
    if isinstance(error, ImportError) and "SOCKS" in str(error):
        return (
            "the proxy that ALL_PROXY, HTTPS_PROXY or HTTP_PROXY names is a SOCKS proxy, for which "
            "the package 'socksio' is missing; pip install socksio, or name an HTTP proxy"
        )
    if isinstance(error, ValueError) and "proxy" in str(error).lower():
        return (
            f"the proxy that ALL_PROXY, HTTPS_PROXY or HTTP_PROXY names cannot be used ({error}); "
            "accepted: http://, https:// or socks5://HOST:PORT"
        )
    return None
