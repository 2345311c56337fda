"""The kept results of one system.

Layout, in a directory for all results:

    DIGEST/key.json               what DIGEST is the digest of
    DIGEST/parts/SHARD.jsonl      the records of a shard, one a line
    DIGEST/arrays/UTTERANCE.npz   what PyTorch computed for an utterance that is compared deeply

A file is complete or absent and never changes its meaning, so that any number of processes may
write at the same time: those that do the same work write the same file. A record holds a digest of
itself, and the arrays have theirs by the format, so that damage is told.
"""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError

from quantkit.core.arrays import read_npz
from quantkit.core.errors import InputError
from quantkit.core.files import canonical_json, write_bytes, write_json, write_text
from quantkit.core.integrity import seal_problem, sealed
from quantkit.core.strict_json import parse_json
from quantkit.evaluate.keys import system_digest, system_key
from quantkit.evaluate.record import Record, Reference
from quantkit.evaluate.system import System

_KEY = "key.json"
_RECORD = TypeAdapter(Record)
#: Kind of the numbers and number of axes of each of PyTorch's arrays.
_ARRAYS = {
    "tokens": ("i", 1),
    "token_frames": ("i", 1),
    "encoded": ("f", 2),
    "chunks": ("i", 1),
    "log_probabilities": ("f", 2),
}


@dataclass(frozen=True)
class Results:
    """The directory of one system's results."""

    directory: Path

    @classmethod
    def of(cls, system: System, root: Path) -> Results:
        """Where, below the directory of all results, those of a system are."""
        return cls(root / system_digest(system))

    def describe(self, system: System) -> None:
        """Write down what the directory's name is the digest of, for people."""
        if not self.is_described():
            write_json(self.directory / _KEY, system_key(system))

    def is_described(self) -> bool:
        """Whether somebody did so, and it can be seen from here."""
        return (self.directory / _KEY).is_file()

    def part(self, shard: str) -> Path:
        """The file with the records of a shard."""
        return self.directory / "parts" / f"{shard}.jsonl"

    def write_part(self, shard: str, records: Sequence[Record]) -> None:
        """Keep the records of a shard."""
        lines = [canonical_json(sealed(asdict(record))) for record in records]
        write_text(self.part(shard), "".join(f"{line}\n" for line in lines))

    def records(self) -> dict[str, Record]:
        """All kept records by the digest of their utterance, deep ones first.

        Raises:
            InputError: a part is damaged.
        """
        found: dict[str, Record] = {}
        with contextlib.suppress(OSError):
            os.utime(self.directory)  # when it was used last
        for path in sorted(self.part("*").parent.glob("*.jsonl")):
            for record in _read(path):
                if record.divergence is not None or record.utterance not in found:
                    found[record.utterance] = record
        return found

    def arrays(self, utterance: str) -> Path:
        """The file with PyTorch's arrays for an utterance, given its digest."""
        return self.directory / "arrays" / f"{utterance}.npz"

    def write_reference(self, utterance: str, reference: Reference) -> None:
        """Keep PyTorch's arrays for an utterance."""
        content = io.BytesIO()
        np.savez(content, **{name: getattr(reference, name) for name in _ARRAYS})
        write_bytes(self.arrays(utterance), content.getvalue())

    def reference(self, utterance: str) -> Reference:
        """PyTorch's arrays for an utterance.

        Raises:
            InputError: the file is damaged.
        """
        path = self.arrays(utterance)
        try:
            arrays = read_npz(path)
            _check_arrays(arrays, path)
        except InputError as error:
            raise InputError(f"{error}; delete the file and run the command again") from error
        return Reference(
            arrays["tokens"].tolist(),
            arrays["token_frames"].tolist(),
            *(arrays[name] for name in ("encoded", "chunks", "log_probabilities")),
        )


def _read(path: Path) -> list[Record]:
    records = []
    for number, line in enumerate(path.read_bytes().splitlines(), start=1):
        try:
            records.append(_record(line, f"{path}:{number}"))
        except InputError as error:
            raise InputError(
                f"{error}; delete the file and run the command again, which evaluates its "
                "utterances anew"
            ) from error
    return records


def _check_arrays(arrays: Mapping[str, NDArray[Any]], path: Path) -> None:
    if wrong := _ARRAYS.keys() ^ arrays.keys():
        raise InputError(f"{path}: {', '.join(sorted(wrong))} missing or unknown")
    for name, (kind, axes) in _ARRAYS.items():
        array = arrays[name]
        if array.dtype.kind != kind or array.ndim != axes:
            raise InputError(f"{path}: {name}: found {array.dtype} {list(array.shape)}")


def _record(line: bytes, where: str) -> Record:
    content = parse_json(line, f"{where}: this is not a kept record")
    if not isinstance(content, dict):
        raise InputError(f"{where}: this is not a kept record")
    if problem := seal_problem(content):
        raise InputError(f"{where}: {problem}")
    try:
        return _RECORD.validate_python(content)
    except ValidationError as error:
        problem = error.errors()[0]["msg"]
        raise InputError(f"{where}: this is not a kept record ({problem})") from error
