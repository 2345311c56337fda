import os
import stat
from pathlib import Path

import pytest

from quantkit.core import targets
from quantkit.core.errors import InputError
from quantkit.core.targets import check_directory, check_file

CHECKS = [check_directory, check_file]


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("name", ["new", "deep/er/new", "n" * 246, "öß" * 61])
def test_what_can_be_written_leaves_no_trace(check, name, tmp_path) -> None:
    check("--out", tmp_path / name)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("n" * 247, "File name too long"),
        ("n" * 300, "File name too long"),
        ("n" * 300 + "/new", "File name too long"),
        ("ö" * 124, "File name too long"),
        ("a/" * 3000, "File name too long"),
        ("file/new", "file is a file"),
        ("file/deep/new", "file is a file"),
        ("nowhere", "is a link to .*gone/new, where there is no directory"),
    ],
)
def test_what_cannot_be_written_is_refused(check, name, why, tmp_path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "nowhere").symlink_to("gone/new")
    with pytest.raises(InputError, match=why) as caught:
        check("--out", tmp_path / name)
    assert str(caught.value).startswith("--out ")


def test_links_are_followed(tmp_path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "link").symlink_to("there")
    (tmp_path / "new").symlink_to("there/new")
    check_directory("--out", tmp_path / "link")
    check_directory("--out", tmp_path / "new")
    check_file("--out", tmp_path / "new")


def test_a_read_only_disk_is_refused(tmp_path, monkeypatch) -> None:
    def refuses(*_) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(Path, "mkdir", refuses)
    with pytest.raises(InputError, match=r"--json .*: cannot be written: Read-only file system"):
        check_file("--json", tmp_path / "a.json")


def test_the_wrong_kind_is_refused(tmp_path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="is a file, accepted: a directory"):
        check_directory("--out", tmp_path / "file")
    with pytest.raises(InputError, match="is a directory, accepted: a file"):
        check_file("--out", tmp_path)


def test_the_working_directory_is_not_replaced(tmp_path, monkeypatch) -> None:
    (tmp_path / "in").mkdir()
    monkeypatch.chdir(tmp_path / "in")
    for path in (".", "..", "", "../in", str(tmp_path)):
        with pytest.raises(InputError, match="holds the working directory"):
            check_directory("--out", Path(path))
    check_directory("--out", Path("new"))


def test_what_is_mounted_is_not_replaced(tmp_path, monkeypatch) -> None:
    mounts = tmp_path / "mountinfo"
    inside = str(tmp_path / "a b" / "disk").replace(" ", r"\040")
    mounts.write_text(f"22 1 0:21 / / rw - ext4 /dev/a rw\n36 22 0:31 / {inside} rw - tmpfs x rw\n")
    monkeypatch.setattr(targets, "_MOUNTS", mounts)
    (tmp_path / "a b" / "disk").mkdir(parents=True)
    for path in ("a b/disk", "a b"):
        with pytest.raises(InputError, match="is mounted, so it cannot be replaced"):
            check_directory("--out", tmp_path / path)
    check_directory("--out", tmp_path / "a b" / "disk" / "new")
    check_file("--out", tmp_path / "a b" / "disk" / "new")


def test_inputs_are_not_replaced(tmp_path) -> None:
    (tmp_path / "out").mkdir()
    for name in ("out", "out/store"):
        with pytest.raises(InputError, match=rf"would replace .*{name}, which is needed"):
            check_directory("--out", tmp_path / "out", [tmp_path / name])
    check_directory("--out", tmp_path / "out", [tmp_path / "output", tmp_path])


def test_devices_and_pipes_are_files(tmp_path) -> None:
    os.mkfifo(tmp_path / "pipe")
    check_file("--json", tmp_path / "pipe")
    check_file("--json", Path(os.devnull))
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)
