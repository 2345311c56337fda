import pytest

from quantkit.core.errors import MissingExtraError
from quantkit.core.versions import code_digest, library_versions


def test_a_missing_library_names_its_extra() -> None:
    with pytest.raises(MissingExtraError, match=r"quantkit\[build\]"):
        library_versions(["numpy", "no-such-distribution"])


def test_code_of_different_rooms_differs() -> None:
    assert code_digest(["recipe"]) == code_digest(["recipe"]) != code_digest(["pipeline"])
