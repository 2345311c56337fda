"""A process that has imported what commands need, and runs each in a fork that can be killed.

`python -m tests.fuzz.nursery` reads requests and prints answers, a JSON object a line. A request is
the folder to run in, the words of the command, and the signal that the fork sends to itself when it
touches the file system for the so many-th time. An answer is how the fork ended.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from quantkit.build import artifact, calibration, onnx_file
from quantkit.build.engine import Stage, Workspace
from quantkit.cli import commands, main
from quantkit.quantize.schemes import loops
from tests.build.toy import CHAIN, Points, toy_chain

IMPORTED = (artifact, calibration, commands, loops, onnx_file)
ROOT = Path(__file__).parents[2]
_TOUCHES = {"os.mkdir", "os.rename", "os.remove", "os.rmdir", "shutil.rmtree", "shutil.copyfile"}
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT
_REPORT = {"recordings": 1, "seconds": 1.0, "graphs": {}}


class Nursery:
    """The other side of it."""

    def __init__(self, temporary: Path) -> None:
        self.temporary = temporary
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.fuzz.nursery"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env=os.environ
            | {"PYTHONPATH": str(ROOT), "TMPDIR": str(temporary)}
            | {"ORT_DISABLE_TELEMETRY": "1"},
        )

    def run(self, folder: Path, words: list[str], moment: int = 0, number: int = 0) -> Any:
        """Run a command; `code` as of `subprocess`, the number of `touches`, and what it `said`."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        request = {"folder": str(folder), "words": words, "moment": moment, "signal": number}
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        return answer | {"said": (folder / "said").read_text(encoding="utf-8")}

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


def _statistics(space: Workspace) -> None:
    (space.out / "calibration.json").write_text(json.dumps(_REPORT))
    (space.out / "hessians").mkdir()
    for index in range(4):
        (space.out / "hessians" / f"{index}.npy").write_bytes(bytes(100_000))


def _fork(folder: str, words: list[str], moment: int, number: int) -> dict[str, int]:
    readable, writable = os.pipe()
    child = os.fork()
    if child == 0:
        _child(writable, folder, words, moment, number)
    os.close(writable)
    with os.fdopen(readable) as pipe:
        told = pipe.read()
    _, status = os.waitpid(child, 0)
    return {"code": os.waitstatus_to_exitcode(status), "touches": int(told or 0)}


def _child(pipe: int, folder: str, words: list[str], moment: int, number: int) -> None:
    os.chdir(folder)
    said = os.open("said", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(said, 1)
    os.dup2(said, 2)
    sys.argv = ["quantkit", *words]
    touches = 0

    def touched(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal touches
        if event in _TOUCHES or (event == "open" and arguments[2] & _WRITES):
            touches += 1
            if touches == moment:
                os.kill(os.getpid(), number)

    sys.addaudithook(touched)
    code = main()
    os.write(pipe, str(touches).encode())
    os._exit(code)


def serve() -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(CHAIN, lambda recipe, found: toy_chain(recipe, found, Points()))
        stages = [Stage("fuse", "1", lambda _: None), Stage("calibrate", "1", _statistics)]
        patch.setattr(calibration, "calibration_chain", lambda *_, **__: stages)
        for line in sys.stdin:
            print(json.dumps(_fork(*json.loads(line).values())), flush=True)


if __name__ == "__main__":
    serve()
