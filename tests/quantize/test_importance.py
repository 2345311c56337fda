from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quantkit.core.errors import InputError
from quantkit.quantize.importance import importance_of, load_importance


def test_vectors_are_read_as_doubles(tmp_path: Path) -> None:
    path = tmp_path / "importance.npz"
    np.savez(path, allow_pickle=False, **{"encoder/w": np.array([1, 2], np.float32)})
    vector = importance_of(load_importance(path), "encoder/w", 2)
    assert vector.dtype == np.float64
    assert vector.tolist() == [1, 2]


def test_a_missing_or_foreign_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"importance.npz: no such file"):
        load_importance(tmp_path / "importance.npz")
    (tmp_path / "text.npz").write_text("text")
    with pytest.raises(InputError, match=r"not an \.npz archive"):
        load_importance(tmp_path / "text.npz")


@pytest.mark.parametrize("values", [[1, np.nan], [1, np.inf], [1, -1], [[1]]])
def test_wrong_vectors_are_refused(tmp_path: Path, values: Any) -> None:
    np.savez(
        tmp_path / "importance.npz", allow_pickle=False, **{"joint/w": np.array(values, float)}
    )
    with pytest.raises(InputError, match="'joint/w'"):
        load_importance(tmp_path / "importance.npz")


def test_statistics_of_another_model_are_refused() -> None:
    with pytest.raises(InputError, match="no activation statistics"):
        importance_of({"encoder/a": np.ones(3)}, "encoder/b", 3)
    with pytest.raises(InputError, match="takes 4 inputs"):
        importance_of({"encoder/a": np.ones(3)}, "encoder/a", 4)
