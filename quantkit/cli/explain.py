"""What is expected to go wrong, as an exit code and a message that says what to do."""

from __future__ import annotations

import errno
import os
import re
import resource
import shutil
import tempfile
from importlib import metadata
from pathlib import Path

from quantkit.core.errors import InputError, MissingExtraError, QuantkitError
from quantkit.core.files import size_text

EXPECTED = (QuantkitError, OSError, MemoryError, ModuleNotFoundError)
_FULL = {errno.ENOSPC, errno.EDQUOT}
_DESCRIPTORS = {errno.EMFILE, errno.ENFILE}


def explain(error: BaseException) -> tuple[int, str]:
    """The exit code of one of `EXPECTED`, and what to say of it; a bug is raised again."""
    match error:
        case QuantkitError():
            return error.exit_code, str(error)
        case ModuleNotFoundError():
            return _explain_missing(error)
        case MemoryError():
            return InputError.exit_code, _out_of_memory(str(error))
        case OSError():
            return InputError.exit_code, _explain_system(error)
    raise error


def _explain_missing(error: ModuleNotFoundError) -> tuple[int, str]:
    name = (error.name or "").partition(".")[0]
    extra = extra_of(name)
    if extra is None:
        raise error
    missing = MissingExtraError(name, extra)
    return missing.exit_code, str(missing)


def extra_of(module: str) -> str | None:
    """The extra that brings an importable name, by the requirements in the package's metadata.

    A distribution is recognized by the words of its name: nemo by nemo_toolkit[asr].
    """
    wanted = _words(module)
    for requirement in metadata.requires("quantkit") or []:
        extra = re.search(r"extra == [\"'](\w+)[\"']", requirement)
        name = _words(re.split(r"[<>=!~;]", requirement, maxsplit=1)[0])
        places = range(len(name) - len(wanted) + 1)
        if any(name[place : place + len(wanted)] == wanted for place in places):
            return extra[1] if extra else None  # what every installation has stands first
    return None


def _words(name: str) -> list[str]:
    return re.findall(r"[a-z0-9]+", name.lower())


def _explain_system(error: OSError) -> str:
    """What the system refused: the file, the file system, what to do."""
    names = [os.fsdecode(name) for name in (error.filename, error.filename2) if name is not None]
    where = " -> ".join(names)
    if error.errno == errno.ENOMEM:
        return _out_of_memory(where)
    said = ": ".join(filter(None, [where, error.strerror or str(error)]))
    if error.errno in _FULL:
        return f"{said}; {_room(names)}"
    if error.errno in _DESCRIPTORS:
        most = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        return f"{said}: {most} may be open at a time; raise it by `ulimit -n`"
    return said


def _room(names: list[str]) -> str:
    """Free bytes of the file systems that a write can have filled."""
    written = [Path(name).absolute().parent for name in names[-1:]]  # a copy's target
    folders = written or [Path.cwd(), Path(tempfile.gettempdir())]
    rooms = []
    for folder in folders:
        try:
            usage = shutil.disk_usage(folder)
        except OSError:
            continue
        free, total = size_text(usage.free), size_text(usage.total)
        rooms.append(f"{free} of {total} are free in {folder} without what was begun")
    return ", ".join([*rooms, "make room and give the same command again, which goes on from here"])


def _out_of_memory(what: str) -> str:
    return f"memory ran out{': ' if what else ''}{what}; use a machine with more, or less at a time"
