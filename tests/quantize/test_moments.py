from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quantkit.core.errors import InputError
from quantkit.quantize.moments import InputMoments, load_moments, moments_of


def write(folder: Path, vectors: dict[str, Any], hessians: dict[str, str] | None = None) -> Path:
    np.savez(folder / "moments.npz", allow_pickle=False, **vectors)
    if hessians is not None:
        (folder / "hessians.json").write_text(json.dumps(hessians))
    return folder


def test_diagonals_are_read_as_float64(tmp_path: Path) -> None:
    values = np.array([1, 2, 3], np.float32)
    found = load_moments(write(tmp_path, {"encoder/a": values}))["encoder/a"]
    assert found.diagonal.dtype == np.float64
    np.testing.assert_array_equal(found.diagonal, values)
    assert found.hessian is None


def test_hessians_stay_on_disk_and_are_shared(tmp_path: Path) -> None:
    (tmp_path / "hessians").mkdir()
    full = np.diag(np.arange(3, dtype=np.float32))
    np.save(tmp_path / "hessians" / "x.npy", full)
    files = dict.fromkeys(["encoder/a", "encoder/b"], "hessians/x.npy")
    vectors = {name: np.arange(3.0) for name in ("encoder/a", "encoder/b", "encoder/c")}
    found = load_moments(write(tmp_path, vectors, files))
    for name in files:
        assert isinstance(found[name].hessian, np.memmap)
        np.testing.assert_array_equal(found[name].hessian, full)
    assert found["encoder/c"].hessian is None


def test_what_is_missing_says_which_stage_writes_it(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"moments\.npz"):
        load_moments(tmp_path)
    (tmp_path / "moments.npz").write_text("no archive")
    with pytest.raises(InputError, match=r"moments\.npz: this is not an \.npz archive"):
        load_moments(tmp_path)


@pytest.mark.parametrize(
    "vector", [np.ones((2, 2)), np.array([1, np.nan]), np.array([np.inf]), np.array([-1.0])]
)
def test_what_is_no_mean_square_is_refused_by_name(tmp_path: Path, vector: Any) -> None:
    with pytest.raises(InputError, match=r"moments\.npz: 'encoder/a'.* mean squared input"):
        load_moments(write(tmp_path, {"encoder/a": vector}))


@pytest.mark.parametrize(
    "array", [np.ones((2, 3), np.float32), np.ones(3, np.float32), np.ones((3, 3))]
)
def test_what_is_no_hessian_is_refused_by_file(tmp_path: Path, array: Any) -> None:
    np.save(tmp_path / "x.npy", array)
    with pytest.raises(InputError, match=r"x\.npy: found float.* accepted: float32 \[K, K\]"):
        load_moments(write(tmp_path, {"a": np.ones(3)}, {"a": "x.npy"}))
    (tmp_path / "x.npy").write_text("nothing")
    with pytest.raises(InputError, match=r"x\.npy: cannot be read"):
        load_moments(tmp_path)


def test_the_moments_of_a_matrix_are_of_its_size() -> None:
    moments = {"encoder/a": InputMoments(np.ones(4)), "encoder/b": InputMoments.uniform(4)}
    assert moments_of(moments, "encoder/a", 4, hessian=False) is moments["encoder/a"]
    assert moments_of(moments, "encoder/b", 4, hessian=True).hessian is not None
    with pytest.raises(InputError, match=r"'encoder/c' has no activation.* 2 entries"):
        moments_of(moments, "encoder/c", 4, hessian=False)
    with pytest.raises(InputError, match=r"'encoder/a' takes 5 inputs, .* 4;"):
        moments_of(moments, "encoder/a", 5, hessian=False)
    with pytest.raises(InputError, match="'encoder/a' has mean squared inputs but no Hessian"):
        moments_of(moments, "encoder/a", 4, hessian=True)


def test_uniform_moments_weigh_all_alike() -> None:
    uniform = InputMoments.uniform(3)
    np.testing.assert_array_equal(uniform.diagonal, np.ones(3))
    np.testing.assert_array_equal(uniform.hessian, np.eye(3))
