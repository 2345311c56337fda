import pytest

from quantkit.core.errors import MissingExtraError
from quantkit.core.versions import code_digest, library_versions


def test_a_missing_library_names_its_extra() -> None:
    with pytest.raises(MissingExtraError, match=r"quantkit\[build\]"):
        library_versions(["numpy", "no-such-distribution"])


def test_code_that_does_not_exist_is_no_version() -> None:
    with pytest.raises(ValueError, match=r"quantkit\.nowhere: no such module"):
        code_digest("quantkit.nowhere")
