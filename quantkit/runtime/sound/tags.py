"""Words about a recording that programs put before it, behind it and between two: ID3 and APE."""

from __future__ import annotations

from quantkit.runtime.sound.source import Source

_ID3V1 = 128
_APE = 32


def after_tags(source: Source, place: int) -> int:
    """Where what is no tag (ID3, APE) starts."""
    while True:
        head = source.at(place, _APE)
        if head[:3] == b"ID3" and len(head) >= 10:
            size = 0
            for byte in head[6:10]:
                size = size << 7 | byte & 0x7F
            place += 10 + size + (10 if head[5] & 0x10 else 0)
        elif head[:3] == b"TAG":
            place += _ID3V1
        elif head[:8] == b"APETAGEX" and len(head) == _APE:
            header = head[23] & 0x20
            place += _APE + (int.from_bytes(head[12:16], "little") if header else 0)
        else:
            return min(place, source.size)


def before_tags(source: Source, start: int, end: int) -> int:
    """Where the tags begin that end what lies from `start` to `end`."""
    while True:
        footer = source.at(end - _APE, _APE) if end - start > _APE else b""
        if end - start > _ID3V1 and source.at(end - _ID3V1, 3) == b"TAG":
            end -= _ID3V1
        elif footer[:8] == b"APETAGEX":
            end = max(start, end - max(_APE, int.from_bytes(footer[12:16], "little")))
            header = max(start, end - _APE)
            if source.at(header, 8) == b"APETAGEX":
                end = header
        else:
            return max(start, end)
