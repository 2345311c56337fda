import os
from contextlib import suppress
from dataclasses import replace

import pytest

from quantkit.build.key import StageKey
from quantkit.build.store import Store
from quantkit.core.errors import InputError
from quantkit.core.files import complete_directory

KEY = StageKey("export", "1", {"chunk_ms": 560}, {}, {})


def _put(store, key, recipe="demo") -> None:
    with store.writing(key, recipe) as (out, _):
        (out / "a.bin").write_bytes(b"12345")
        (out / "deep").mkdir()
        (out / "deep" / "b.bin").write_bytes(b"6")


def test_what_was_written_is_found_with_sizes_and_digests(tmp_path) -> None:
    store = Store(tmp_path)
    assert store.find(KEY) is None
    _put(store, KEY)
    entry = store.read(KEY)
    assert (entry.directory / "a.bin").read_bytes() == b"12345"
    assert entry.files["deep/b.bin"]["bytes"] == 1
    assert len(entry.files["a.bin"]["sha256"]) == 64
    assert entry.damage() is None


def test_a_failure_leaves_nothing(tmp_path) -> None:
    store = Store(tmp_path)
    with pytest.raises(FileNotFoundError), store.writing(KEY, "demo") as (out, _):
        (out / "a.bin").write_bytes((out / "not there").read_bytes())
    assert store.find(KEY) is None
    assert not list((tmp_path / "export").glob("[!.]*"))
    assert not list((tmp_path / "export").glob(".*.partial"))


def test_damage_is_named(tmp_path) -> None:
    store = Store(tmp_path)
    _put(store, KEY)
    entry = store.read(KEY)
    (entry.directory / "a.bin").write_bytes(b"1")
    assert entry.damage() == "a.bin has 1 bytes instead of 5"
    (entry.directory / "a.bin").unlink()
    assert entry.damage() == "a.bin is missing"


def test_newest_prefers_the_recipe_of_the_same_name(tmp_path) -> None:
    store = Store(tmp_path)
    other = replace(KEY, version="2")
    _put(store, KEY, "mine")
    _put(store, other, "theirs")
    os.utime(tmp_path / "export" / KEY.digest / "entry.json", (1, 1))
    mine, third = store.newest("export", "mine"), store.newest("export", "third")
    assert mine is not None
    assert third is not None
    assert (mine.key, third.key) == (KEY.as_json(), other.as_json())
    assert store.newest("fuse", "mine") is None


def test_sweep_removes_leftovers_but_not_of_the_living(tmp_path) -> None:
    store = Store(tmp_path)
    dead, alive = tmp_path / "export" / ".aa.partial", tmp_path / "export" / ".bb.partial"
    dead.mkdir(parents=True)
    with complete_directory(tmp_path / "export" / "bb"):
        store.sweep()
        assert not dead.exists()
        assert alive.exists()
    alive.mkdir()
    store.sweep()
    assert not alive.exists()


def test_a_deleted_result_is_an_input_error(tmp_path) -> None:
    with pytest.raises(InputError, match="vanished"):
        Store(tmp_path).read(KEY)


def _interrupted(store) -> None:
    with suppress(KeyboardInterrupt), store.writing(KEY, "demo") as (_, scratch):
        (scratch / "half").write_bytes(b"6")
        raise KeyboardInterrupt


def test_scratch_outlives_an_interruption_and_goes_with_success(tmp_path) -> None:
    store = Store(tmp_path)
    _interrupted(store)
    store.sweep()
    with store.writing(KEY, "demo") as (out, scratch):
        (out / "whole").write_bytes((scratch / "half").read_bytes())
    assert store.read(KEY).files.keys() == {"whole"}
    assert not scratch.exists()
    scratch.mkdir()  # killed between the result and the end of its scratch
    store.sweep()
    assert not scratch.exists()
    assert store.find(KEY) is not None


def test_discarded_scratch_is_empty_again(tmp_path) -> None:
    store = Store(tmp_path)
    _interrupted(store)
    store.discard_scratch(KEY)
    with store.writing(KEY, "demo") as (_, scratch):
        assert not list(scratch.iterdir())
