"""Rob Northen's ProPack, method 1: how the game Beneath a Steel Sky packs its speech.

A stream of chunks; each brings three Huffman tables (lengths of literal runs, distances, lengths of
copies) and alternates literal runs, which lie byte-aligned in the stream, with copies of what is
already unpacked. Bits are read from 16-bit little-endian words, lowest first.
"""

from __future__ import annotations

import numba
import numpy as np

MAGIC = b"RNC\x01"
HEADER = 18
LONGEST = 16


def unpack(packed: bytes) -> bytes:
    """Unpack one block. Raises ValueError where it is no such block or its checksum differs."""
    if packed[:4] != MAGIC:
        raise ValueError(f"a ProPack block starts with {MAGIC!r}, not with {packed[:4]!r}")
    size = int.from_bytes(packed[4:8], "big")
    checksum = int.from_bytes(packed[12:14], "big")
    source = np.frombuffer(packed, np.uint8)
    unpacked = np.zeros(size, np.uint8)
    if not _unpack(source, packed[17], unpacked) or _crc16(unpacked) != checksum:
        raise ValueError("a damaged ProPack block")
    return unpacked.tobytes()


@numba.njit(cache=True)
def _bits(source: np.ndarray, state: np.ndarray, count: int) -> int:
    """The next bits of the stream; state is (position, word, bits left in the word)."""
    value = 0
    for i in range(count):
        if state[2] == 0:
            low = source[state[0]] if state[0] < len(source) else 0
            high = source[state[0] + 1] if state[0] + 1 < len(source) else 0
            state[0] += 2
            state[1] = low | high << 8
            state[2] = 16
        value |= (state[1] & 1) << i
        state[1] >>= 1
        state[2] -= 1
    return value


@numba.njit(cache=True)
def _read_table(source: np.ndarray, state: np.ndarray, lengths: np.ndarray) -> None:
    """Code lengths of up to 31 symbols; the codes themselves are canonical."""
    count = _bits(source, state, 5)
    lengths[:] = 0
    for i in range(count):
        lengths[i] = _bits(source, state, 4)


@numba.njit(cache=True)
def _value(source: np.ndarray, state: np.ndarray, lengths: np.ndarray) -> int:
    """The next number, or -1: a symbol says how many bits follow its leading one."""
    code = first = 0
    for length in range(1, LONGEST + 1):
        code = code << 1 | _bits(source, state, 1)
        for symbol in range(len(lengths)):
            if lengths[symbol] == length:
                if code == first:
                    if symbol < 2:
                        return symbol
                    return 1 << (symbol - 1) | _bits(source, state, symbol - 1)
                first += 1
        first <<= 1
    return -1


@numba.njit(cache=True)
def _unpack(source: np.ndarray, chunks: int, target: np.ndarray) -> bool:
    state = np.array([HEADER, 0, 0])
    literals, distances, copies = np.zeros((3, 32), np.int64)
    end = 0
    _bits(source, state, 2)
    for _ in range(chunks):
        _read_table(source, state, literals)
        _read_table(source, state, distances)
        _read_table(source, state, copies)
        rounds = _bits(source, state, 16)
        for turn in range(rounds):
            run = _value(source, state, literals)
            # The last word may reach past the end of the block.
            if run < 0 or end + run > len(target) or (run and state[0] + run > len(source)):
                return False
            target[end : end + run] = source[state[0] : state[0] + run]
            state[0] += run
            end += run
            if turn == rounds - 1:
                break
            distance = _value(source, state, distances) + 1
            length = _value(source, state, copies) + 2
            if distance < 1 or distance > end or length < 2 or end + length > len(target):
                return False
            for i in range(end, end + length):
                target[i] = target[i - distance]
            end += length
    return end == len(target)


@numba.njit(cache=True)
def _crc16(data: np.ndarray) -> int:
    crc = 0
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0xA001 if crc & 1 else 0)
    return crc
