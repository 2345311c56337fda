from __future__ import annotations

import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from quantkit.calibrate.sums import MomentSums
from quantkit.core.errors import InputError

Array = NDArray[np.float32]


def rows(count: int, channels: int) -> Array:
    random = np.random.default_rng([count, channels])
    return (random.normal(size=(count, channels)) + 0.5).astype(np.float32)


def hessian(sums: MomentSums, name: str, path: Path) -> Array:
    sums.move_hessian(name, path)
    array: Array = np.load(path)
    return array


# Up to 600 channels: a matrix is made whole in stripes of 256 rows.
@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(
    channels=st.integers(1, 600),
    pieces=st.lists(st.integers(1, 40), min_size=1, max_size=4),
    calls=st.integers(1, 3),
)
def test_any_pieces_give_the_moments(channels: int, pieces: list[int], calls: int) -> None:
    given_rows = [rows(count, channels) for count in pieces]
    with TemporaryDirectory() as folder:
        sums = MomentSums(Path(folder, "sums"), {"x": channels}, hessians=True)
        for _ in range(calls):
            sums.add({"x": given_rows})
        exact = np.concatenate(given_rows).astype(float)
        assert sums.rows == {"x": calls * len(exact)}
        np.testing.assert_allclose(sums.mean_squares("x"), (exact**2).mean(axis=0), rtol=1e-12)
        wanted = exact.T @ exact / len(exact)
        found = hessian(sums, "x", Path(folder, "x.npy"))
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, found.T)
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)


def test_inputs_do_not_mix_and_may_be_absent(tmp_path: Path) -> None:
    sums = MomentSums(tmp_path / "sums", {"x": 3, "y": 5}, hessians=True)
    sums.add({"x": [rows(4, 3)], "y": []})
    sums.add({"y": [rows(2, 5)]})
    assert sums.rows == {"x": 4, "y": 2}
    np.testing.assert_allclose(sums.mean_squares("y"), (rows(2, 5) ** 2).mean(axis=0), rtol=1e-6)


def test_restored_sums_go_on_to_the_same_bytes(tmp_path: Path) -> None:
    first = MomentSums(tmp_path / "first", {"x": 300}, hessians=True)
    first.add({"x": [rows(20, 300)]})
    saved = tmp_path / "saved"
    saved.mkdir()
    first.save(saved)
    second = MomentSums(tmp_path / "second", {"x": 300}, hessians=True)
    second.restore(saved)
    for sums in (first, second):
        sums.add({"x": [rows(7, 300)]})
    assert first.rows == second.rows
    np.testing.assert_array_equal(first.mean_squares("x"), second.mean_squares("x"))
    one, other = (
        hessian(sums, "x", tmp_path / f"{name}.npy")
        for name, sums in (("one", first), ("other", second))
    )
    np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_the_threads_of_the_caller_do_not_matter(tmp_path: Path, threads: int) -> None:
    found = []
    for name, limit in (("one", 1), ("many", threads)):
        with threadpool_limits(limit, user_api="blas"):
            sums = MomentSums(tmp_path / name, {"x": 512}, hessians=True)
            sums.add({"x": [rows(700, 512)]})
        found.append(hessian(sums, "x", tmp_path / f"{name}.npy"))
    np.testing.assert_array_equal(found[0], found[1])


def test_no_file_stays_open_and_a_full_disk_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    channels = {f"x{number}": 8 for number in range(40)}
    before = len(list(Path("/proc/self/fd").iterdir()))
    sums = MomentSums(tmp_path / "sums", channels, hessians=True)
    sums.add({name: [rows(3, 8)] for name in channels})
    assert len(list(Path("/proc/self/fd").iterdir())) <= before + 1
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1000))
    with pytest.raises(InputError, match=r"the Hessians need 1\.0 MB of disk, 1\.0 kB are free"):
        MomentSums(tmp_path / "full", {"x": 512}, hessians=True)
