"""Graphs as ONNX Runtime optimized and packed them, kept beside an artifact for its next load.

`ARTIFACT/.prepared` holds, for each graph, the optimized graph, its data with the packed weights,
which sessions map from the disk instead of holding a copy each, and `NAME.json`, the record of what
they were made from. The record is written last and names the two files; they count only while all
that it says is still so. Sizes and times of change are compared, so that nothing has to be read;
digests, which it has of what was written, only where that is asked for.
"""

from __future__ import annotations

import platform
import secrets
from pathlib import Path
from typing import Any

import onnxruntime as ort

from quantkit.core import shapes
from quantkit.core.errors import InputError
from quantkit.core.files import sha256_file, sync_tree, write_json
from quantkit.core.strict_json import read_json
from quantkit.runtime.sessions import (
    DISABLED_OPTIMIZERS,
    LOAD_ERRORS,
    PROVIDERS,
    open_session,
    session_options,
)

FOLDER = ".prepared"
_MOST_BYTES = 2**20
_RECORD = shapes.record(
    {"prepared": shapes.file_name, "sha256": shapes.mapping(shapes.file_name, shapes.sha256)}
)
#: What /proc/cpuinfo tells of a processor's kind, in its words for x86 and for Arm.
_KIND = ("vendor_id", "model name", "flags", "CPU implementer", "CPU part", "Features")


def open_prepared(path: Path, threads: int | None, *, check: bool = False) -> ort.InferenceSession:
    """Load a graph of an artifact by way of its prepared files; `threads` None as `open_session`.

    Prepared files that are missing, stale or damaged are written first. Where that cannot be, the
    graph itself is loaded, which takes longer. With `check` their bytes are read for damage that
    their times do not show.

    Raises:
        InputError: as `open_session`.
    """
    graph = _find(path, check=check)
    if graph is None:
        _prepare(path, check=check)
        graph = _find(path)
    if graph is not None:
        options = session_options(threads)
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
        try:
            return ort.InferenceSession(str(graph), options, providers=PROVIDERS)
        except LOAD_ERRORS:  # another process has put its own in their place
            pass
    return open_session(path, threads)


def _find(path: Path, *, check: bool = False) -> Path | None:
    """The prepared graph, if its record is true; with `check` as far as its digests tell too."""
    record = _record_file(path)
    try:
        found = read_json(record, _MOST_BYTES)
        _RECORD(found, str(record))
        graph = record.with_name(found["prepared"])
        digests = found.pop("sha256")
        true = found == _record(path, graph) and (not check or digests == _digests(graph))
    except (InputError, OSError):
        return None
    return graph if true else None


def _prepare(path: Path, *, check: bool) -> None:
    """Write the prepared files where that can be done, one process at a time."""
    folder = path.parent / FOLDER
    try:
        import fcntl  # not on Windows, which goes without

        folder.mkdir(exist_ok=True)
        with (folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if _find(path, check=check) is None:
                _write(path)
    except (ImportError, OSError, *LOAD_ERRORS):
        pass


def _write(path: Path) -> None:
    """Write the files and their record, and remove older ones, or what a failure leaves."""
    record = _record_file(path)
    # Names of their own, so that a process that loads meanwhile never mixes old and new.
    graph = record.with_name(f"{path.stem}-{secrets.token_hex(8)}.onnx")
    graph.touch()  # ONNX Runtime makes files of mode 0644 whatever the umask
    options = session_options(threads=1)
    options.optimized_model_filepath = str(graph)
    for entry, value in {
        "session.optimized_model_external_initializers_file_name": _data(graph).name,
        "session.save_external_prepacked_constant_initializers": "1",
    }.items():
        options.add_session_config_entry(entry, value)
    try:
        ort.InferenceSession(str(path), options, providers=PROVIDERS)
        sync_tree(record.parent)
        write_json(record, _record(path, graph) | {"sha256": _digests(graph)})
    finally:
        found = _find(path)
        for file in record.parent.glob(f"{path.stem}-*"):
            if found is None or file not in {found, _data(found)}:
                file.unlink()


def _record(path: Path, graph: Path) -> dict[str, Any]:
    """All that makes prepared files wrong when it changes.

    Raises:
        OSError: a graph is not there.
    """
    files = [path, graph, *filter(Path.exists, (_data(path), _data(graph)))]
    return {
        "prepared": graph.name,
        "files": {file.name: _stamp(file) for file in files},
        "onnxruntime": [ort.__version__, ort.get_build_info()],
        "processor": _processor(),
        "disabled_optimizers": DISABLED_OPTIMIZERS,
    }


def _digests(graph: Path) -> dict[str, str]:
    """SHA-256 of a prepared graph and its data.

    Raises:
        OSError: a graph is not there.
    """
    return {file.name: sha256_file(file) for file in (graph, _data(graph)) if file.exists()}


def _stamp(file: Path) -> list[int]:
    """Size and times; the second time also tells a file that was replaced by an older one."""
    status = file.stat()
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns]


def _processor() -> list[str]:
    """The processor's kind and instructions, which packed weights and layouts are made for."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").split("\n\n")[0].splitlines()
    except OSError:
        return [platform.machine(), platform.processor()]
    return [line for line in lines if line.partition(":")[0].strip() in _KIND]


def _data(graph: Path) -> Path:
    return graph.with_name(f"{graph.name}.data")


def _record_file(path: Path) -> Path:
    return path.parent / FOLDER / f"{path.stem}.json"
