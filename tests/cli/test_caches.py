import os
from pathlib import Path

import pytest

from quantkit.cli.caches import caches

NAMES = ("NUMBA_CACHE_DIR", "MPLCONFIGDIR")
INDUCTOR = "TORCHINDUCTOR_CACHE_DIR"


@pytest.fixture(autouse=True)
def _bare(monkeypatch, tmp_path) -> None:
    for name in (*NAMES, INDUCTOR, "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr("sysconfig.get_path", lambda _: "/proc/packages")


@pytest.mark.parametrize("home", ["/proc/nohome", "/dev/null", "~nobody-at-all"])
def test_without_a_home_there_is_a_temporary_one(home, monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("HOME", home)
    with caches():
        for name in NAMES:
            assert Path(os.environ[name]).is_relative_to(tmp_path)
        assert os.environ["HOME"] == home
    assert not list(tmp_path.iterdir())
    assert NAMES[0] not in os.environ


def test_what_is_named_stays_named(monkeypatch) -> None:
    monkeypatch.setenv("HOME", "/proc/nohome")
    monkeypatch.setenv("NUMBA_CACHE_DIR", "mine")
    with caches():
        assert os.environ["NUMBA_CACHE_DIR"] == "mine"


def test_a_home_or_a_writable_environment_will_do(monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    with caches():
        assert NAMES[0] not in os.environ
    monkeypatch.setenv("HOME", "/proc/nohome")
    monkeypatch.setattr("sysconfig.get_path", lambda _: str(tmp_path))
    with caches():
        assert NAMES[0] not in os.environ


def test_pytorch_leaves_nothing_in_the_temporary_folder(monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    with caches():
        assert Path(os.environ[INDUCTOR]).is_relative_to(tmp_path / "home")
    assert INDUCTOR not in os.environ
    monkeypatch.setenv("HOME", "/proc/nohome")
    monkeypatch.setattr("sysconfig.get_path", lambda _: str(tmp_path))
    with caches():
        Path(os.environ[INDUCTOR]).mkdir(parents=True)
    assert [path.name for path in tmp_path.iterdir()] == ["home"]
