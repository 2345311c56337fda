import pytest

from quantkit.core.files import complete_directory, leftovers, sha256_json, write_json


def test_a_directory_is_complete_or_absent(tmp_path) -> None:
    final = tmp_path / "deep" / "final"
    with pytest.raises(FileNotFoundError), complete_directory(final) as temporary:
        (temporary / "a").write_text((temporary / "not there").read_text())
    assert not list(final.parent.iterdir())
    with complete_directory(final) as temporary:
        (temporary / "a").write_text("new")
        assert not final.exists()
        assert leftovers(final) == [temporary]
    assert (final / "a").read_text() == "new"
    assert leftovers(final) == []


def test_an_old_directory_is_replaced_whole(tmp_path) -> None:
    final = tmp_path / "final"
    final.mkdir()
    (final / "old").write_text("old")
    with complete_directory(final) as temporary:
        (temporary / "new").write_text("new")
    assert [path.name for path in final.iterdir()] == ["new"]
    assert [path.name for path in tmp_path.iterdir()] == ["final"]


def test_digests_do_not_depend_on_the_order_of_keys() -> None:
    assert sha256_json({"a": 1, "b": [2.0]}) == sha256_json({"b": [2.0], "a": 1})


def test_not_a_number_is_never_written(tmp_path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "a.json", {"a": float("nan")})
    assert not list(tmp_path.iterdir())
