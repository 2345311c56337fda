"""The members of a `.nemo` archive, read where they lie.

A `.nemo` is a tar, rarely a compressed one. Nothing is unpacked: members are views of the mapped
file, so that none takes more than the file has, none gets a name on a disk, and a process that is
killed leaves nothing. Headers are read here because the standard library's reader follows whatever
they say: links, sparse files, extended headers of any size and depth.
"""

from __future__ import annotations

import gzip
import mmap
import tempfile
import unicodedata
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO

from quantkit.core.errors import InputError
from quantkit.core.files import require_space
from quantkit.core.text import one_line

_BLOCK = 512
_MOST_MEMBERS = 1000
# Of an extended header, which holds a name, a size and times.
_MOST_EXTENDED = 64 * 1024
# What may be unpacked, as a multiple of the file: weights take about as much compressed.
_MOST_GROWTH = 2
_PIECE = 2**20
_GZIP = b"\x1f\x8b"
_REFUSED_KINDS = {
    b"BZh": "compressed with bzip2",
    b"\xfd7zXZ": "compressed with xz",
    b"\x28\xb5\x2f\xfd": "compressed with zstd",
    b"PK\x03\x04": "a zip archive",
}


@contextmanager
def opened(path: Path) -> Iterator[Mapping[str, memoryview]]:
    """The files in a `.nemo` by their names, as bytes that can be read within the block.

    Raises:
        InputError: the file is missing, cut short, no tar, compressed by anything but gzip, grows
            when unpacked to more than twice its size, or holds anything but plain files with names
            that stay inside, each once.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file; a .nemo checkpoint is needed")
    try:
        stored = path.open("rb")
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    with stored, _plain(stored, path) as file:
        if not file.seek(0, 2):
            raise InputError(f"{path}: is empty; download or copy it again")
        # A private mapping, since PyTorch wants memory that could be written to.
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
        yield _members(memoryview(mapped), path)


@contextmanager
def _plain(stored: IO[bytes], path: Path) -> Iterator[IO[bytes]]:
    """The tar itself: the file, or what is unpacked into one that has no name."""
    start = stored.read(6)
    for magic, kind in _REFUSED_KINDS.items():
        if start.startswith(magic):
            raise InputError(
                f"{path}: is {kind}; accepted: a .nemo as NeMo writes it, a tar archive that is "
                "not compressed, or compressed with gzip"
            )
    if not start.startswith(_GZIP):
        yield stored
        return
    most = _MOST_GROWTH * path.stat().st_size
    require_space(Path(tempfile.gettempdir()), most, "the contents of a compressed .nemo")
    stored.seek(0)
    with tempfile.TemporaryFile() as file:
        for piece in _unpacked(stored, path):
            if file.tell() + len(piece) > most:
                raise InputError(
                    f"{path}: grows to more than {most} bytes when unpacked, {_MOST_GROWTH} times "
                    "its size, which weights do not; if it is sound, unpack it with gunzip first"
                )
            file.write(piece)
        file.flush()
        yield file


def _unpacked(stored: IO[bytes], path: Path) -> Iterator[bytes]:
    with gzip.GzipFile(fileobj=stored) as stream:
        while True:
            try:
                piece = stream.read(_PIECE)
            except (gzip.BadGzipFile, EOFError, zlib.error) as error:
                raise _incomplete(path, str(error)) from error
            if not piece:
                return
            yield piece


def _members(data: memoryview, path: Path) -> dict[str, memoryview]:
    found: dict[str, memoryview] = {}
    seen: dict[str, str] = {}
    position = headers = 0
    extended: dict[str, str] = {}
    while position < len(data):
        header = bytes(data[position : position + _BLOCK])
        if not any(header):
            break
        headers += 1
        if headers > _MOST_MEMBERS:
            raise InputError(f"{path}: holds more than {_MOST_MEMBERS} entries; no .nemo does")
        size = _size(header, extended, path)
        kind, position = header[156:157], position + _BLOCK
        content = data[position : position + size]
        if len(content) < size:
            raise _incomplete(path, f"an entry of {size} bytes ends after {len(content)}")
        position += -(-size // _BLOCK) * _BLOCK
        if kind in (b"x", b"g", b"L"):
            if len(content) > _MOST_EXTENDED:
                raise InputError(f"{path}: an extended header takes {len(content)} bytes")
            _extend(extended, kind, bytes(content), path)
            continue
        name = _inside(extended.get("path") or _own_name(header, path), path)
        _check_kind(kind, extended, name, path)
        extended = {}
        if not name:  # the folder itself
            continue
        folded = unicodedata.normalize("NFKC", name).casefold()
        if folded in seen:
            raise InputError(
                f"{path}: holds {one_line(seen[folded])!r} and {one_line(name)!r}, one name "
                "twice; the file is refused"
            )
        seen[folded] = name
        if kind != b"5":
            found[name] = content
    return found


def _size(header: bytes, extended: Mapping[str, str], path: Path) -> int:
    """Bytes of an entry's content, of a header whose checksum is right."""
    if len(header) < _BLOCK:
        raise _incomplete(path, "it ends inside a header")
    blanked = header[:148] + b" " * 8 + header[156:]
    if _number(header[148:156], path) != sum(blanked):
        raise _incomplete(path, "a header is damaged")
    given = extended.get("size")
    if given is None:
        return _number(header[124:136], path)
    if not given.isascii() or not given.isdigit() or len(given) > 20:
        raise _incomplete(path, "a size is no number")
    return int(given)


def _number(field: bytes, path: Path) -> int:
    """Octal digits, or, where the first bit says so, a number of big-endian bytes."""
    if field[0] == 0x80:
        return int.from_bytes(field[1:])
    digits = field.strip(b" \0")
    if not digits.isdigit() or set(digits) & set(b"89"):
        raise _incomplete(path, "a header is damaged")
    return int(digits, 8)


def _extend(extended: dict[str, str], kind: bytes, content: bytes, path: Path) -> None:
    """Take in a header that tells more of the entry after it."""
    if kind == b"L":
        extended["path"] = _text(content.rstrip(b"\0"), path)
        return
    while content:
        length, space, _ = content.partition(b" ")
        end = int(length) if length.isdigit() and len(length) < 6 else 0
        key, equals, value = content[len(length) + 1 : end - 1].partition(b"=")
        if not (space and equals and len(length) < end <= len(content)):
            raise _incomplete(path, "an extended header is damaged")
        if kind == b"g" and key != b"comment":
            raise InputError(f"{path}: a header says {key!r} of all entries; the file is refused")
        if key in (b"path", b"size"):
            extended[key.decode()] = _text(value, path)
        if key.startswith(b"GNU.sparse"):
            extended["sparse"] = "yes"
        content = content[end:]


def _own_name(header: bytes, path: Path) -> str:
    name = header[:100].partition(b"\0")[0]
    prefix = header[345:500].partition(b"\0")[0] if header[257:263] == b"ustar\0" else b""
    return _text(prefix + b"/" + name if prefix else name, path)


def _text(raw: bytes, path: Path) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: an entry's name is not UTF-8; the file is refused") from error


def _inside(name: str, path: Path) -> str:
    """A name as a path inside the archive, "" for its top."""
    parts = PurePosixPath(name).parts
    if name.startswith("/") or ".." in parts or "\\" in name or "\0" in name or not name:
        raise InputError(
            f"{path}: entry {one_line(name)!r} leaves the archive; the file is refused"
        )
    return "/".join(parts)


def _check_kind(kind: bytes, extended: Mapping[str, str], name: str, path: Path) -> None:
    sparse = kind == b"S" or "sparse" in extended
    if sparse or kind not in (b"0", b"\0", b"5"):
        what = "a file with holes" if sparse else "neither a file nor a directory"
        raise InputError(f"{path}: entry {one_line(name)!r} is {what}; the file is refused")


def _incomplete(path: Path, reason: str) -> InputError:
    return InputError(
        f"{path}: not a complete .nemo file ({reason}); a .nemo is a tar archive of "
        f"{path.stat().st_size} bytes here: download or copy it again"
    )
