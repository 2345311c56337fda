"""The shipped checkpoint's tokenizer."""

from pathlib import Path

import pytest

from demo import config as settings
from demo.initial import extract_tokenizer


@pytest.fixture(scope="session")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tokenizer")
    extract_tokenizer(settings.HERE / "demo.nemo", folder)
    return folder
