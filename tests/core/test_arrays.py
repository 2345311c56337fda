from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quantkit.core.arrays import read_npz
from quantkit.core.errors import InputError


def test_arrays_keep_name_type_and_shape(tmp_path: Path) -> None:
    given: dict[str, Any] = {
        "a": np.arange(6, dtype=np.int32).reshape(2, 3),
        "b/c": np.ones(4, np.float16),
    }
    np.savez(tmp_path / "x.npz", allow_pickle=False, **given)
    found = read_npz(tmp_path / "x.npz")
    assert found.keys() == given.keys()
    for name, array in given.items():
        np.testing.assert_array_equal(found[name], array)
        assert found[name].dtype == array.dtype


def test_other_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    np.savez(path, allow_pickle=False, a=np.ones(100))
    whole = path.read_bytes()
    np.save(tmp_path / "one.npy", np.ones(3))
    np.savez(tmp_path / "objects.npz", a=np.array([{}], object))
    single, objects = ((tmp_path / n).read_bytes() for n in ("one.npy", "objects.npz"))
    for content in (b"", b"text", whole[:200], single, objects):
        path.write_bytes(content)
        with pytest.raises(InputError, match=r"x\.npz: this is not an \.npz archive"):
            read_npz(path)


@pytest.mark.slow
def test_flips_are_told_or_change_nothing(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    given: dict[str, Any] = {
        "a": np.arange(40, dtype=np.float32),
        "b": np.arange(6, dtype=np.int64),
    }
    np.savez(path, allow_pickle=False, **given)
    whole = path.read_bytes()
    told = 0
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x11]) + whole[place + 1 :])
        try:
            found = read_npz(path)
        except InputError:
            told += 1
            continue
        if found.keys() == given.keys():  # names are no part of what has a checksum
            for name, array in given.items():
                np.testing.assert_array_equal(found[name], array)
    assert told > 400
