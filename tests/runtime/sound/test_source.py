"""What a path may name: files of any name, pipes, standard input."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import soundfile

from quantkit.core.errors import InputError
from quantkit.runtime.audio import duration_s, read_audio
from quantkit.runtime.sound import source


@pytest.fixture
def wav(tmp_path: Path) -> Path:
    path = tmp_path / "a.wav"
    soundfile.write(path, np.random.default_rng(1).normal(size=5000) * 0.1, 16_000)
    return path


def test_a_name_that_is_not_utf8(tmp_path: Path, wav: Path) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/b\xff\xfe.wav"))
    path.write_bytes(wav.read_bytes())
    assert read_audio(path).tobytes() == read_audio(wav).tobytes()
    path.write_bytes(b"not audio at all")
    with pytest.raises(InputError, match=r"b\\udcff\\udcfe\.wav: cannot be read as audio"):
        read_audio(path)


def test_names_that_no_file_has(tmp_path: Path) -> None:
    for name in ("a\0b.wav", "x" * 3000):
        with pytest.raises(InputError, match="cannot be"):
            read_audio(tmp_path / name)
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="no such audio file"):
        read_audio(tmp_path / "file" / "a.wav")


def test_a_fifo_is_read(tmp_path: Path, wav: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    writer = threading.Thread(target=lambda: fifo.write_bytes(wav.read_bytes()))
    writer.start()
    found = read_audio(fifo)
    writer.join()
    assert found.tobytes() == read_audio(wav).tobytes()


def test_an_empty_fifo_is_told(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    writer = threading.Thread(target=lambda: fifo.write_bytes(b""))
    writer.start()
    with pytest.raises(InputError, match=r"fifo: gives nothing \(0 bytes\)"):
        read_audio(fifo)
    writer.join()


def test_a_pipe_has_a_limit(tmp_path: Path, wav: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond what is kept in memory first, then beyond what is taken at all."""
    monkeypatch.setattr(source, "IN_MEMORY", 1000)
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    writer = threading.Thread(target=lambda: fifo.write_bytes(wav.read_bytes()))
    writer.start()
    assert duration_s(fifo) == 5000 / 16_000
    writer.join()
    monkeypatch.setattr(source, "PIPE_LIMIT", 2000)
    writer = threading.Thread(target=lambda: fifo.write_bytes(wav.read_bytes()))
    writer.start()
    with pytest.raises(InputError, match="gives more than 0 MB; so much of a pipe is taken"):
        read_audio(fifo)
    writer.join()


def test_devices_are_refused() -> None:
    for device in ("/dev/zero", "/dev/null"):
        with pytest.raises(InputError, match="is a terminal or another device"):
            read_audio(Path(device))


def run(input_: bytes | None, redirect: str = "") -> subprocess.CompletedProcess[bytes]:
    """Print how many samples standard input has."""
    script = (
        "from pathlib import Path\nfrom quantkit.runtime.audio import read_audio\n"
        "print(len(read_audio(Path('-'))))"
    )
    command = f'exec "{sys.executable}" -c "{script}" {redirect}'
    return subprocess.run(["sh", "-c", command], input=input_, capture_output=True)


@pytest.mark.slow
def test_a_hyphen_is_standard_input(wav: Path) -> None:
    assert run(wav.read_bytes()).stdout == b"5000\n"
    assert run(None, f"< '{wav}'").stdout == b"5000\n"
    assert b"-: is standard input, which is closed" in run(None, "<&-").stderr


def test_too_many_open_files_are_told_as_such(wav: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = os.dup(0)
    os.close(free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))
    try:
        with pytest.raises(InputError, match=r"a\.wav: too many files are open in this process"):
            read_audio(wav)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_permission_is_told_as_such(wav: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wav.chmod(0)
    if os.access(wav, os.R_OK):  # root reads anything

        def denied(*_: object, **__: object) -> None:
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr(Path, "open", denied)
    with pytest.raises(InputError, match=r"a\.wav: permission denied"):
        read_audio(wav)


def test_a_disk_that_fails_is_told_as_such(wav: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """libsndfile's calls come back through C, where no exception can pass."""
    taken = source.Source.at
    calls = iter(range(1000))

    def failing(self: source.Source, start: int, count: int) -> bytes:
        if start > 200 and next(calls) > 1:
            raise source.told(self.name, OSError(5, "Input/output error"))
        return taken(self, start, count)

    monkeypatch.setattr(source.Source, "at", failing)
    with pytest.raises(InputError, match=r"a\.wav: cannot be read \(Input/output error\)"):
        read_audio(wav)
