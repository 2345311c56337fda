import fcntl
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from quantkit.core.errors import InputError
from quantkit.core.files import (
    complete_directory,
    require_space,
    scratch_directory,
    sha256_json,
    sweep,
    temporary_directory,
    write_bytes,
    write_json,
)

_ROOT = Path(__file__).parents[2]


def test_a_directory_is_complete_or_absent(tmp_path) -> None:
    final = tmp_path / "deep" / "final"
    with pytest.raises(FileNotFoundError), complete_directory(final) as temporary:
        (temporary / "a").write_text((temporary / "not there").read_text())
    assert not list(final.parent.iterdir())
    with complete_directory(final) as temporary:
        (temporary / "a").write_text("new")
        assert not final.exists()
    assert (final / "a").read_text() == "new"
    assert list(final.parent.iterdir()) == [final]


def test_an_old_directory_is_replaced_whole(tmp_path) -> None:
    final = tmp_path / "final"
    final.mkdir()
    (final / "old").write_text("old")
    with complete_directory(final) as temporary:
        (temporary / "new").write_text("new")
    assert [path.name for path in final.iterdir()] == ["new"]
    assert [path.name for path in tmp_path.iterdir()] == ["final"]


def test_an_old_directory_outlives_a_failure(tmp_path, monkeypatch) -> None:
    final = tmp_path / "final"
    final.mkdir()
    (final / "old").write_text("old")
    replace = Path.replace

    def fails(self: Path, target: Path) -> Path:
        if self.name == ".final.partial":
            raise OSError(28, "No space left on device")
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", fails)
    with pytest.raises(OSError, match="No space"), complete_directory(final) as temporary:
        (temporary / "new").write_text("new")
    assert [path.name for path in tmp_path.rglob("*")] == ["final", "old"]


def _killed(code: str, folder: Path) -> None:
    """Run code in a process that kills itself at `die()`."""
    prefix = "import os, signal\nfrom pathlib import Path\nfrom quantkit.core import files\n"
    prefix += "def die(*_): os.kill(os.getpid(), signal.SIGKILL)\n"
    child = subprocess.run(
        [sys.executable, "-c", prefix + code],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(_ROOT)},
    )
    assert child.returncode == -signal.SIGKILL


_IN_THE_BLOCK = """
with files.complete_directory(Path("final")) as temporary:
    (temporary / "half").write_text("half")
    die()
"""
_BETWEEN_RENAMES = """
replace = Path.replace
def once(self, target):
    die() if self.name == ".final.partial" else replace(self, target)
Path.replace = once
with files.complete_directory(Path("final")) as temporary:
    (temporary / "new").write_text("new")
"""


@pytest.mark.parametrize("code", [_IN_THE_BLOCK, _BETWEEN_RENAMES])
@pytest.mark.parametrize("next_run", [sweep, lambda folder: _write(folder / "final")])
def test_a_killed_writer_loses_nothing_and_leaves_nothing_to_the_next(
    tmp_path, code, next_run: Callable[[Path], None]
) -> None:
    _write(tmp_path / "final")
    _killed(code, tmp_path)
    assert len(list(tmp_path.iterdir())) > 1 or not (tmp_path / "final").exists()
    next_run(tmp_path)
    assert [path.name for path in tmp_path.rglob("*")] == ["final", "old"]


def _write(final: Path) -> None:
    with complete_directory(final) as temporary:
        (temporary / "old").write_text("old")


def test_a_killed_write_of_a_file_leaves_nothing_to_the_next(tmp_path) -> None:
    _killed("files.os.fsync = die\nfiles.write_bytes(Path('a'), b'half')", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [".a.partial"]
    write_bytes(tmp_path / "a", b"1")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert (tmp_path / "a").read_bytes() == b"1"


def test_writers_of_one_name_take_turns(tmp_path) -> None:
    contents = [bytes([number]) * 100_000 for number in range(8)]
    writers = [
        threading.Thread(target=write_bytes, args=(tmp_path / "a", content)) for content in contents
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert (tmp_path / "a").read_bytes() in contents
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_the_living_are_not_swept(tmp_path) -> None:
    with complete_directory(tmp_path / "final") as temporary:
        (temporary / "a").write_text("a")
        sweep(tmp_path)
        assert (temporary / "a").exists()
    with scratch_directory(tmp_path / ".work.partial") as scratch:
        sweep(tmp_path)
        assert scratch.exists()
    assert not scratch.exists()


@pytest.mark.parametrize(("mask", "mode"), [(0o077, 0o600), (0o002, 0o664)])
def test_modes_are_those_of_the_umask(tmp_path, mask, mode) -> None:
    before = os.umask(mask)
    try:
        with complete_directory(tmp_path / "final") as temporary:
            write_json(temporary / "a.json", 1)
            (temporary / "b").write_bytes(b"")
    finally:
        os.umask(before)
    modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.rglob("*")}
    assert modes == {"final": 0o777 & ~mask, "a.json": mode, "b": mode}


def test_a_file_system_without_locks_will_do(tmp_path, monkeypatch) -> None:
    def refuses(*_) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr("fcntl.flock", refuses)
    _write(tmp_path / "final")
    assert (tmp_path / "final" / "old").exists()


def test_where_nothing_tells_the_living_from_the_dead_nothing_is_swept(
    tmp_path, monkeypatch
) -> None:
    def refuses(*_) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr("fcntl.flock", refuses)
    with complete_directory(tmp_path / "final") as temporary:
        sweep(tmp_path)
        assert temporary.exists()


def test_a_link_stays_and_what_it_leads_to_is_replaced(tmp_path) -> None:
    (tmp_path / "disk").mkdir()
    for name in ("final", "a"):
        (tmp_path / name).symlink_to(f"disk/{name}")
    for _ in range(2):
        _write(tmp_path / "final")
        write_bytes(tmp_path / "a", b"1")
        assert (tmp_path / "final").is_symlink()
        assert (tmp_path / "a").is_symlink()
    found = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*"))
    assert found == ["a", "disk", "disk/a", "disk/final", "disk/final/old", "final"]


def test_a_foreign_link_in_the_place_of_a_partial_is_not_followed(tmp_path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis").touch()
    (tmp_path / ".final.partial").symlink_to("mine")
    (tmp_path / ".a.partial").symlink_to("mine/thesis")
    sweep(tmp_path)
    with pytest.raises(OSError, match="final"):
        _write(tmp_path / "final")
    with pytest.raises(OSError, match="symbolic links"):
        write_bytes(tmp_path / "a", b"1")
    assert (tmp_path / "mine" / "thesis").read_bytes() == b""


def test_a_pipe_takes_the_content(tmp_path) -> None:
    os.mkfifo(tmp_path / "pipe")
    writer = threading.Thread(target=write_bytes, args=(tmp_path / "pipe", b"1"))
    writer.start()
    assert (tmp_path / "pipe").read_bytes() == b"1"
    writer.join()
    assert [path.name for path in tmp_path.iterdir()] == ["pipe"]


def test_an_empty_trace_of_a_killed_replacement_goes(tmp_path) -> None:
    (tmp_path / ".final.retired").mkdir()
    sweep(tmp_path)
    assert not list(tmp_path.iterdir())


def test_temporaries_of_killed_processes_go(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    (tmp_path / "quantkit-others").mkdir()
    code = "import tempfile\ntempfile.tempdir = '.'\n"
    _killed(
        code + "with files.temporary_directory() as path: (path / 'a').touch(), die()", tmp_path
    )
    assert len(list(tmp_path.iterdir())) == 2
    with temporary_directory() as one, temporary_directory() as other:
        assert one != other
        assert set(tmp_path.iterdir()) == {one, other, tmp_path / "quantkit-others"}
    assert [path.name for path in tmp_path.iterdir()] == ["quantkit-others"]


@pytest.mark.parametrize(
    "error",
    [
        OSError(28, "No space left on device"),
        OSError("262144 requested and 139264 written"),  # numpy
        RuntimeError("file write failed"),  # PyTorch
    ],
)
def test_a_full_disk_has_a_name(tmp_path, monkeypatch, error) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=4096))
    named = pytest.raises(OSError, match=r"No space left .*final")
    with named as caught, complete_directory(tmp_path / "final"):
        raise error
    assert caught.value.errno == 28
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("of another kind"),
        InputError("ours"),
        ConnectionRefusedError(111, "Connection refused"),
        FileNotFoundError(2, "No such file", "a.wav"),
    ],
)
def test_other_errors_stay_what_they_are(tmp_path, error) -> None:
    with pytest.raises(type(error)) as caught, complete_directory(tmp_path / "final"):
        raise error
    assert caught.value is error


def test_space_is_asked_for_before_it_is_needed(tmp_path) -> None:
    require_space(tmp_path, 1, "sums")
    with pytest.raises(InputError, match=r"sums need 1000000000.0 GB of disk, .* are free in"):
        require_space(tmp_path, 10**18, "sums")


def test_digests_do_not_depend_on_the_order_of_keys() -> None:
    assert sha256_json({"a": 1, "b": [2.0]}) == sha256_json({"b": [2.0], "a": 1})


def test_not_a_number_is_never_written(tmp_path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "a.json", {"a": float("nan")})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "make",
    [
        lambda path: write_bytes(path, b"content"),
        lambda path: complete_directory(path).__enter__(),
        lambda path: scratch_directory(path).__enter__(),
    ],
    ids=["write_bytes", "complete_directory", "scratch_directory"],
)
def test_a_signal_before_the_lock_leaves_nothing(make, tmp_path, monkeypatch) -> None:
    flock = fcntl.flock

    def interrupted(*_: object) -> None:
        monkeypatch.setattr(fcntl, "flock", flock)
        raise KeyboardInterrupt

    monkeypatch.setattr(fcntl, "flock", interrupted)
    with pytest.raises(KeyboardInterrupt):
        make(tmp_path / "made")
    assert not list(tmp_path.iterdir())


def test_a_temporary_directory_that_ends_meanwhile_is_no_error(tmp_path, monkeypatch) -> None:
    """Another process may remove its own between being listed and being looked at."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with temporary_directory() as path:
        ended = path.with_name(path.name.replace(path.stem, f"{path.stem}-ended"))
    monkeypatch.setattr(Path, "glob", lambda *_: iter([ended]))
    with temporary_directory() as path:
        assert path.is_dir()
