"""The hub's client: its token, its failures as messages, and when to try again."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from json import JSONDecodeError
from typing import TypeVar

from httpx2 import HTTPError, NetworkError, RemoteProtocolError, TimeoutException
from huggingface_hub import HfApi, get_token
from huggingface_hub.errors import HfHubHTTPError
from huggingface_hub.utils import parse_ratelimit_headers  # type: ignore[attr-defined]

from quantkit.core.errors import InputError
from quantkit.hub.answers import MALFORMED, unreachable

T = TypeVar("T")

ATTEMPTS = 6
_TRANSIENT = frozenset({429, 500, 502, 503, 504})
#: Broken connections, and a proxy's page in place of an answer.
_PASSING = (NetworkError, RemoteProtocolError, TimeoutException, JSONDecodeError)
_ADVICE = {
    400: "the hub does not accept this; see what it says",
    401: "the token is wrong or has expired, or the repository does not exist for it; make a new "
    "token at /settings/tokens and put it into HF_TOKEN, or run `hf auth login`",
    402: "the account's storage or plan does not allow this; free some or change the plan",
    403: "the token may not do this; give it write access to the repository or name another",
    404: "there is no such repository or revision; check the name",
    409: "somebody else changed the repository meanwhile; publish again",
    412: "somebody else changed the repository meanwhile; publish again",
    413: "the hub takes no files as large as these in this repository",
    429: "the hub is asked too often; wait and try again, what has arrived stays there",
    507: "the hub has no room; free some storage and publish again",
}


_STATUS = re.compile(rf"\(({'|'.join(map(str, _ADVICE))}) ")


class Hub:
    """The hub that HF_ENDPOINT names, with the token of HF_TOKEN or of `hf auth login`."""

    def __init__(self) -> None:
        self.api = HfApi(library_name="quantkit")

    def retried(self, call: Callable[[], T]) -> T:
        """Call until the hub answers; it waits for as long as the hub says.

        Raises:
            HTTPError: the failure is no passing one, or came too often. While large files are
                sent the client wraps it into a RuntimeError.
        """
        attempt = 0
        while True:
            try:
                return call()
            except (HTTPError, RuntimeError, JSONDecodeError) as error:
                wait = _wait_s(_cause(error), attempt)
                attempt += 1
                if wait is None or attempt == ATTEMPTS:
                    raise
            time.sleep(wait)

    @contextmanager
    def errors(self, what: str) -> Iterator[None]:
        """Turn failures of the hub into messages that say what to do, and never the token.

        Raises:
            InputError: instead of whatever the client raised.
        """
        try:
            yield
        except InputError:
            raise
        except (HTTPError, OSError, RuntimeError, ValueError, ImportError, *MALFORMED) as error:
            # Without its cause: requests and answers in it may repeat the token.
            raise InputError(f"{what}: {self._explained(error)}") from None

    def _explained(self, error: Exception) -> str:
        cause = _cause(error)
        if problem := unreachable(error):
            return self._redacted(problem)
        if isinstance(error, MALFORMED):
            said = self._redacted(f"{type(error).__name__}: {error}")
            return f"{self.api.endpoint} answered what no hub answers ({said}); check HF_ENDPOINT"
        if isinstance(cause, HfHubHTTPError):
            status = cause.response.status_code
            said = cause.server_message or cause.response.headers.get("X-Error-Message") or ""
            advice = _ADVICE.get(status, "try again, what has arrived stays there")
            text = f"{self.api.endpoint} answered {status} {self._redacted(said)}".rstrip()
            return f"{text}; {advice}"
        text = self._redacted(str(cause).strip() or type(cause).__name__)
        if isinstance(cause, HTTPError):
            return f"cannot reach {self.api.endpoint}: {text}; try again, what has arrived stays"
        # The storage's client is not of Python: its failures are words.
        found = _STATUS.search(text)
        return f"{text}; {_ADVICE[int(found[1])]}" if found else text

    @staticmethod
    def _redacted(text: str) -> str:
        token = get_token()
        return text.replace(token, "<token>") if token else text


def _cause(error: BaseException) -> BaseException:
    """The failure of a request that an error comes from, else the error."""
    cause = error
    while not isinstance(cause, HTTPError):
        if cause.__cause__ is None:
            return error
        cause = cause.__cause__
    return cause


def _wait_s(error: BaseException, attempt: int) -> float | None:
    """Seconds before the next attempt; None if there is no point in one."""
    if isinstance(error, HfHubHTTPError):
        headers = error.response.headers
        if error.response.status_code not in _TRANSIENT:
            return None
        limit = parse_ratelimit_headers(headers)
        if limit is not None and limit.remaining == 0:
            return limit.reset_in_seconds + 1.0
        asked = headers.get("Retry-After", "")
        return float(asked) if asked.isdecimal() else 2.0**attempt
    return 2.0**attempt if isinstance(error, _PASSING) else None
