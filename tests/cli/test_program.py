"""The program as its shell sees it: signals, standard streams, exit codes."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
ENDINGS = {
    signal.SIGINT: (130, "interrupted"),
    signal.SIGTERM: (143, "terminated"),
    signal.SIGHUP: (129, "hung up"),
}
# The program with commands of the test's own.
_PROGRAM = """
import os, subprocess, sys, time
from pathlib import Path
from quantkit.cli import main
from quantkit.cli.commands import app
from quantkit.core.files import named_errors, scratch_directory
from quantkit.cli.console import say, say_json, show
from rich.table import Table

def ready():
    os.write(2, b"ready\\n")

@app.command
def work():
    with scratch_directory(Path("scratch")):
        ready()
        time.sleep(30)

@app.command
def deaf():
    try:
        ready()
        time.sleep(30)
    except BaseException:
        pass
    time.sleep(30)

class Slow:
    def __del__(self):
        ready()
        time.sleep(2)

@app.command
def unraisable():
    Slow()
    time.sleep(30)

@app.command
def translated():
    try:
        ready()
        time.sleep(30)
    except BaseException as error:
        raise OSError("the library gave up") from error

@app.command
def twice():
    try:
        ready()
        time.sleep(30)
    finally:
        ready()
        time.sleep(0.5)
        Path("put away").touch()

@app.command
def soon():
    ready()
    time.sleep(0.5)

@app.command
def noise():
    print("from Python")
    os.write(1, b"from C\\n")
    subprocess.run(["echo", "from a child"])
    say_json({"text": "gr\\u00fc\\u00df \\udcff"})

@app.command
def table():
    drawn = Table(title="gr\\u00fc\\u00df")
    drawn.add_column("a" * 5000)
    show(drawn)

@app.command
def memory():
    raise MemoryError("Unable to allocate 99 GiB")

@app.command
def descriptors():
    kept = []
    while True:
        kept.append(Path("program.py").open())

@app.command
def full():
    with named_errors(Path("big.bin")):
        Path("/dev/full").write_text("a")

@app.command
def nameless():
    Path("/dev/full").write_text("a")

sys.exit(main())
"""


@pytest.fixture
def program(tmp_path) -> list[str]:
    (tmp_path / "program.py").write_text(_PROGRAM)
    # A shell's background jobs, and so a CI's, start with SIGINT ignored.
    return ["env", "--default-signal=INT", sys.executable, str(tmp_path / "program.py")]


def _start(command: list[str], folder: Path, **more) -> subprocess.Popen[str]:
    environment = os.environ | {"PYTHONPATH": str(ROOT)} | more.pop("env", {})
    return subprocess.Popen(
        command, cwd=folder, stderr=subprocess.PIPE, text=True, env=environment, **more
    )


def _run(command: list[str], folder: Path, **more) -> tuple[int, str, str]:
    with _start(command, folder, stdout=subprocess.PIPE, **more) as child:
        out, err = child.communicate(timeout=60)
    return child.returncode, out, err


def _ended(child: subprocess.Popen[str], number: signal.Signals) -> str:
    """Send a signal as soon as the child is ready; what it then says."""
    assert child.stderr is not None
    assert child.stderr.readline() == "ready\n"
    child.send_signal(number)
    return child.communicate(timeout=20)[1]


@pytest.mark.parametrize("number", ENDINGS)
@pytest.mark.parametrize("command", ["work", "deaf", "unraisable", "translated"])
def test_a_signal_ends_in_good_order(command, number, program, tmp_path) -> None:
    code, word = ENDINGS[number]
    with _start([*program, command], tmp_path) as child:
        said = _ended(child, number)
    assert said == f"quantkit: {word}; give the same command again to go on\n"
    assert child.returncode == code
    assert [path.name for path in tmp_path.iterdir()] == ["program.py"]


def test_more_signals_do_not_disturb_what_is_put_away(program, tmp_path) -> None:
    with _start([*program, "twice"], tmp_path) as child:
        assert child.stderr is not None
        for number in (signal.SIGINT, signal.SIGTERM):
            assert child.stderr.readline() == "ready\n"
            child.send_signal(number)
        assert child.communicate(timeout=20)[1].startswith("quantkit: interrupted")
    assert child.returncode == 130
    assert (tmp_path / "put away").exists()


@pytest.mark.parametrize("number", ENDINGS)
def test_what_the_parent_ignores_stays_ignored(number, program, tmp_path) -> None:
    name = number.name.removeprefix("SIG")
    command = ["env", f"--ignore-signal={name}", *program[2:], "soon"]
    with _start(command, tmp_path) as child:
        assert _ended(child, number) == ""
    assert child.returncode == 0


def test_a_signal_during_imports(program, tmp_path) -> None:
    command = [*program[:-1], "-X", "importtime", "-m", "quantkit", "schema"]
    for moment in ("quantkit.cli.streams", "rich.text", "cyclopts.core", "pydantic.main"):
        for number, (code, word) in ENDINGS.items():
            with _start(command, tmp_path, stdout=subprocess.DEVNULL) as child:
                assert child.stderr is not None
                for line in child.stderr:
                    if line.rstrip().endswith(f" {moment}"):
                        break
                child.send_signal(number)
                lines = child.communicate(timeout=20)[1].splitlines()
            said = [line for line in lines if not line.startswith("import time:")]
            assert said == [f"quantkit: {word}; give the same command again to go on"], moment
            assert child.returncode == code


def test_python_m(tmp_path) -> None:
    code, out, _ = _run([sys.executable, "-m", "quantkit", "--version"], tmp_path)
    assert code == 0
    assert out


def test_standard_output_is_the_programs_own(program, tmp_path) -> None:
    code, out, err = _run([*program, "noise"], tmp_path)
    assert code == 0
    assert out == '{"text": "grüß \\udcff"}\n'
    assert json.loads(out) == {"text": "grüß \udcff"}
    assert sorted(err.splitlines()) == ["from C", "from Python", "from a child"]


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "latin-1"])
def test_what_an_encoding_lacks_is_escaped(encoding, program, tmp_path) -> None:
    with _start(
        [*program, "noise"], tmp_path, stdout=subprocess.PIPE, env={"PYTHONIOENCODING": encoding}
    ) as child:
        out, err = child.communicate(timeout=60)
    assert child.returncode == 0, err
    assert json.loads(out) == {"text": "grüß \udcff"}
    assert out.isascii()
    code, _, err = _run([*program, "table"], tmp_path, env={"PYTHONIOENCODING": "ascii"})
    assert code == 0, err


@pytest.mark.parametrize("command", ["noise", "table", "--help"])
def test_a_full_standard_output_is_told(command, program, tmp_path) -> None:
    with (
        Path("/dev/full").open("w") as full,
        _start([*program, command], tmp_path, stdout=full) as child,
    ):
        err = child.communicate(timeout=60)[1]
    assert child.returncode == 2
    told = "quantkit: standard output cannot be written: No space left on device"
    assert err.splitlines()[-1] == told
    assert "Traceback" not in err


@pytest.mark.parametrize("command", ["table", "--help"])
def test_a_closed_pipe_is_quiet(command, program, tmp_path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with _start([*program, command], tmp_path, stdout=writer) as child:
        os.close(writer)
        assert child.communicate(timeout=60)[1] == ""
    assert child.returncode == 141


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&- <&-", "2>/dev/full"])
def test_closed_streams_take_everything(closed, program, tmp_path) -> None:
    words = " ".join(program)
    for command, code in (("table", 0), ("full", 2)):
        child = subprocess.run(
            ["bash", "-c", f"{words} {command} {closed}"],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
        )
        assert child.returncode == code, child.stderr
        assert "Traceback" not in child.stderr


@pytest.mark.parametrize(
    ("command", "told"),
    [
        ("memory", "quantkit: memory ran out: Unable to allocate 99 GiB; "),
        ("descriptors", "quantkit: program.py: Too many open files: 64 may be open at a time; "),
        ("full", "quantkit: big.bin: No space left on device; "),
        ("nameless", "quantkit: No space left on device; "),
    ],
)
def test_what_the_system_refuses_is_named(command, told, program, tmp_path) -> None:
    limited = ["bash", "-c", 'ulimit -n 64; exec "$@"', "-", *program, command]
    code, _, err = _run(limited, tmp_path)
    assert code == 2
    assert err.startswith(told)
    assert "Traceback" not in err
