"""The tensors of a `model_weights.ckpt`, as views of its bytes.

The file is a zip of a pickle and of one record a storage. PyTorch's own reader, even for weights
only, allocates what the pickle asks for and trusts the sizes in it. Here the pickle's language is
cut down to what a state dict is written in, and every tensor has to lie within its record.
"""

from __future__ import annotations

import io
import math
import pickle
import struct
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from quantkit.core.errors import InputError
from quantkit.core.text import one_line

# Of the zip's directory and of the pickle: 0.2 kB a tensor are usual.
_MOST_INDEX = 2**20
_MOST_DIMENSIONS = 8
#: What a reader of damaged bytes stumbles over.
_DAMAGE = (
    zipfile.BadZipFile,
    pickle.UnpicklingError,
    struct.error,
    ArithmeticError,
    AttributeError,
    EOFError,
    LookupError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
)
_LOCAL_HEADER = struct.Struct("<4s22xHH")
_DTYPES = {
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "DoubleStorage": torch.float64,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
}


def read_weights(content: memoryview, file: str) -> dict[str, Tensor]:
    """A state dict, its tensors on the CPU and in the memory of `content`.

    Args:
        content: the bytes of the file, which may be written to.
        file: what messages call it.

    Raises:
        InputError: it is not a zip as PyTorch writes it, holds anything but tensors by their names,
            or tensors that take more than the file has.
    """
    try:
        records = _records(content)
        state = _Reader(records).load()
    except _ForeignError as error:
        raise InputError(f"{file}: holds more than tensors and is refused ({error})") from error
    except _DAMAGE as error:
        reason = one_line(f"{type(error).__name__}: {error}")[:200]
        raise InputError(
            f"{file}: is damaged or no state dict in PyTorch's zip format ({reason}); download "
            "it again"
        ) from error
    if not isinstance(state, dict) or not all(
        isinstance(name, str) and torch.is_tensor(value) for name, value in state.items()
    ):
        raise InputError(f"{file}: is not a state dict of tensors")
    taken = sum(tensor.numel() * tensor.element_size() for tensor in state.values())
    if taken > len(content):
        raise InputError(f"{file}: names tensors of {taken} bytes in a file of {len(content)}")
    return dict(state)


class _ForeignError(Exception):
    """What the file asks for is not what a state dict is made of."""


def _records(content: memoryview) -> dict[str, memoryview]:
    """The records of a zip by their names in its one folder; stored, not compressed."""
    with zipfile.ZipFile(_Window(content)) as archive:
        entries = archive.infolist()
    records: dict[str, memoryview] = {}
    for entry in entries:
        name = entry.filename.partition("/")[2]
        if entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & 1:
            raise _ForeignError(f"record {one_line(entry.filename)!r} is compressed or encrypted")
        if name in records:
            raise _ForeignError(f"record {one_line(entry.filename)!r} is there twice")
        start = entry.header_offset
        magic, *skipped = _LOCAL_HEADER.unpack_from(content, start)
        begin = start + _LOCAL_HEADER.size + sum(skipped)
        record = content[begin : begin + entry.file_size]
        if magic != b"PK\x03\x04" or start < 0 or len(record) != entry.file_size:
            raise zipfile.BadZipFile("a record lies outside the file")
        records[name] = record
    if records.get("byteorder", b"little") != b"little":
        raise _ForeignError("numbers of a big-endian machine")
    if len(records["data.pkl"]) > _MOST_INDEX:
        raise _ForeignError(f"its pickle takes {len(records['data.pkl'])} bytes")
    return records


class _Window(io.RawIOBase):
    """Bytes as a file, of which nobody reads much at once."""

    def __init__(self, content: memoryview) -> None:
        super().__init__()
        self._content = content
        self._position = 0

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: len(self._content)}
        self._position = base[whence] + offset
        if self._position < 0:
            raise zipfile.BadZipFile("an offset lies before the file")
        return self._position

    def tell(self) -> int:
        return self._position

    def read(self, size: int = -1) -> bytes:
        rest = max(0, len(self._content) - self._position)
        size = rest if size < 0 else min(size, rest)
        if size > _MOST_INDEX:
            raise zipfile.BadZipFile(f"its directory takes {size} bytes")
        piece = bytes(self._content[self._position : self._position + size])
        self._position += size
        return piece


class _Storage(NamedTuple):
    dtype: torch.dtype
    record: memoryview


@dataclass(frozen=True)
class _Kind:
    """A storage class of the pickle: nothing that could be called."""

    dtype: torch.dtype


def _set_item(reader: Any) -> None:
    _check_keys(reader.stack[-2:-1])
    reader.load_setitem()


def _set_items(reader: Any) -> None:
    _check_keys(reader.stack[::2])
    reader.load_setitems()


def _check_keys(keys: list[Any]) -> None:
    """Only texts: the hash of tuples in tuples takes for ever, or more stack than there is."""
    if not all(type(key) is str for key in keys):
        raise _ForeignError("a key that is no text")


class _Reader(pickle._Unpickler):
    """The part of the pickle language that state dicts are written in.

    In Python, as the fast one allocates whatever index a pickle names.
    """

    stack: list[Any]

    def __init__(self, records: Mapping[str, memoryview]) -> None:
        super().__init__(io.BytesIO(records["data.pkl"]))
        self._records = records

    def find_class(self, module: str, name: str) -> Any:
        if module == "torch" and name in _DTYPES:
            return _Kind(_DTYPES[name])
        if (module, name) not in _CALLABLE:
            raise _ForeignError(f"{one_line(module)}.{one_line(name)}"[:200])
        return _CALLABLE[module, name]

    def persistent_load(self, pid: Any) -> _Storage:
        tag, kind, key, _, count = pid
        # A key of tuples in tuples would take for ever to write out.
        if (tag, type(key), type(count)) != ("storage", str, int) or not isinstance(kind, _Kind):
            raise _ForeignError("a storage of an unknown kind")
        record = self._records[f"data/{key}"]
        if len(record) != count * kind.dtype.itemsize:
            raise ValueError(f"storage {key} has {len(record)} bytes for {count} values")
        return _Storage(kind.dtype, record)

    # The instructions that PyTorch writes, in protocol 2; that which sets attributes of an object
    # (here version numbers of modules) only drops them.
    dispatch: ClassVar[dict[int, Any]] = {
        code[0]: pickle._Unpickler.dispatch[code[0]]
        for code in (
            pickle.PROTO,
            pickle.STOP,
            pickle.MARK,
            pickle.NONE,
            pickle.NEWTRUE,
            pickle.NEWFALSE,
            pickle.BININT,
            pickle.BININT1,
            pickle.BININT2,
            pickle.LONG1,
            pickle.BINUNICODE,
            pickle.EMPTY_TUPLE,
            pickle.TUPLE,
            pickle.TUPLE1,
            pickle.TUPLE2,
            pickle.TUPLE3,
            pickle.EMPTY_LIST,
            pickle.APPEND,
            pickle.APPENDS,
            pickle.EMPTY_DICT,
            pickle.BINPUT,
            pickle.LONG_BINPUT,
            pickle.BINGET,
            pickle.LONG_BINGET,
            pickle.GLOBAL,
            pickle.REDUCE,
            pickle.BINPERSID,
        )
    } | {
        pickle.BUILD[0]: pickle._Unpickler.dispatch[pickle.POP[0]],
        pickle.SETITEM[0]: _set_item,
        pickle.SETITEMS[0]: _set_items,
    }


def _ordered() -> OrderedDict[str, Any]:
    """An empty one, which is all that PyTorch asks for."""
    return OrderedDict()


def _tensor(storage: Any, offset: int, size: Any, stride: Any, *_: Any) -> Tensor:
    """What `torch._utils._rebuild_tensor_v2` makes, within the storage and no larger than it."""
    if not isinstance(storage, _Storage):
        raise _ForeignError("a tensor without a storage")
    numbers = [offset, *size, *stride]
    if not all(type(number) is int and number >= 0 for number in numbers):
        raise ValueError("a tensor's sizes are not whole numbers")
    if len(size) != len(stride) or len(size) > _MOST_DIMENSIONS:
        raise ValueError("a tensor has no such dimensions")
    held = len(storage.record) // storage.dtype.itemsize
    count = math.prod(size)
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    if count > held or (count and last >= held):
        raise ValueError(f"a tensor of shape {list(size)} in a storage of {held} values")
    if not count:
        return torch.empty(size, dtype=storage.dtype)
    return torch.frombuffer(storage.record, dtype=storage.dtype).as_strided(size, stride, offset)


def _parameter(data: Any, *_: Any) -> Any:
    """What `torch._utils._rebuild_parameter` makes, without its gradient."""
    return data


_CALLABLE: dict[tuple[str, str], Callable[..., Any]] = {
    ("collections", "OrderedDict"): _ordered,
    ("torch._utils", "_rebuild_tensor_v2"): _tensor,
    ("torch._utils", "_rebuild_parameter"): _parameter,
}
