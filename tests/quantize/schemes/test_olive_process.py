from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from quantkit.core.errors import MissingExtraError
from quantkit.quantize.schemes.olive_process import OliveError, run_olive

PASS = {"type": "OnnxKQuantQuantization"}


@pytest.mark.slow
def test_a_failed_pass_says_what_olive_said(tmp_path: Path) -> None:
    source = {"type": "ONNXModel", "model_path": str(tmp_path / "absent.onnx")}
    with pytest.raises(OliveError, match=r"(?s)OnnxKQuantQuantization ended with .*absent"):
        run_olive(PASS, source, 1, tmp_path)


def test_the_extra_is_named_where_olive_is_not_installed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(MissingExtraError, match=r"'olive-ai' .*quantkit\[build\]"):
        run_olive(PASS, {}, 1, tmp_path)
