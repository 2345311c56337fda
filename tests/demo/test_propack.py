"""Unpacking is tried on blocks that a packer written here from the format's description makes."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from demo.propack import unpack

#: Every table gives each of its first 16 symbols a code of four bits, in order.
SYMBOLS, CODE_BITS = 16, 4


class Bits:
    """Bits go into 16-bit words, lowest first; bytes go between the words, where they come."""

    def __init__(self) -> None:
        self.stream = bytearray()
        self.word = self.used = 0
        self.place = -1

    def write(self, value: int, count: int) -> None:
        for i in range(count):
            if self.used == 0:
                self.place = len(self.stream)
                self.stream += b"\0\0"
            self.word |= (value >> i & 1) << self.used
            self.used += 1
            self.stream[self.place : self.place + 2] = self.word.to_bytes(2, "little")
            if self.used == 16:
                self.word = self.used = 0

    def write_number(self, value: int) -> None:
        symbol = value.bit_length()
        for bit in reversed(range(CODE_BITS)):
            self.write(symbol >> bit & 1, 1)
        if symbol > 1:
            self.write(value - (1 << symbol - 1), symbol - 1)


def crc16(data: bytes) -> int:
    crc = 0
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ 0xA001 * (crc & 1)
    return crc


def pack(rounds: list[tuple[bytes, int, int]]) -> tuple[bytes, bytes]:
    """A block of one chunk, and what it holds; each round is (literals, distance, length)."""
    bits, plain = Bits(), bytearray()
    bits.write(0, 2)
    for _ in range(3):
        bits.write(SYMBOLS, 5)
        for _ in range(SYMBOLS):
            bits.write(CODE_BITS, 4)
    bits.write(len(rounds), 16)
    for turn, (literals, distance, length) in enumerate(rounds):
        bits.write_number(len(literals))
        bits.stream += literals
        plain += literals
        if turn < len(rounds) - 1:
            bits.write_number(distance - 1)
            bits.write_number(length - 2)
            for _ in range(length):
                plain.append(plain[-distance])
    header = b"RNC\x01" + len(plain).to_bytes(4, "big") + len(bits.stream).to_bytes(4, "big")
    header += crc16(bytes(plain)).to_bytes(2, "big") + b"\0\0" + b"\0\x01"
    return header + bytes(bits.stream), bytes(plain)


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 40))
def test_unpacks_literals_and_overlapping_copies(seed: int, count: int) -> None:
    draw = random.Random(seed)
    rounds, size = [], 0
    for _ in range(count):
        literals = draw.randbytes(draw.choice((0, 1, 3, 200)) or (size == 0))
        size += len(literals)
        distance, length = draw.randint(1, size), draw.choice((2, 3, 5, 300))
        rounds.append((literals, distance, length))
        size += length
    block, plain = pack(rounds)
    assert unpack(block) == plain


def test_refuses_what_it_cannot_unpack() -> None:
    block, _ = pack([(b"speech", 3, 9), (b".", 1, 2)])
    with pytest.raises(ValueError, match="starts with"):
        unpack(b"RNC\x02" + block[4:])
    damaged = block.replace(b"speech", b"spcech")
    with pytest.raises(ValueError, match="damaged"):
        unpack(damaged)
    with pytest.raises(ValueError, match="damaged"):
        unpack(block[:-3])
