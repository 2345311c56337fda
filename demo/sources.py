"""Speech and text as their packages hold them: prompts, the lines of two games, sentences."""

from __future__ import annotations

import gzip
import io
import json
import re
import subprocess
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import soxr

from demo.config import HERE
from demo.propack import unpack
from demo.text import normalize, spell_digits

RATE = 16_000
#: Speech of Beneath a Steel Sky: its rate, and the bytes before each packed block.
SKY_RATE, SKY_HEADER = 11_025, 22


@dataclass(frozen=True)
class Clip:
    """One transcribed utterance; `load` reads its audio only when it is needed."""

    name: str
    text: str
    source: str
    speaker: str
    path: Path
    offset: int = 0
    size: int = 0

    def load(self) -> np.ndarray:
        """Samples at 16 kHz in [-1, 1]."""
        if self.path.suffix == ".g722":
            return _decode_g722(self.path)
        if self.path.suffix == ".dsk":
            unsigned = np.frombuffer(unpack(self.content()[SKY_HEADER:]), np.uint8)
            return soxr.resample((unsigned.astype(np.float32) - 128) / 128, SKY_RATE, RATE)
        samples, rate = soundfile.read(io.BytesIO(self.content()), dtype="float32")
        return soxr.resample(samples, rate, RATE)

    def content(self) -> bytes:
        """The bytes of a game's line: an MP3 file, or a header and a packed block."""
        with self.path.open("rb") as file:
            file.seek(self.offset)
            return file.read(self.size)


def fetch(config: dict[str, Any], folder: Path) -> Path:
    """Download the pinned Debian and npm packages and unpack each into folder/NAME."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, version in config["debian"].items():
        if (folder / name).exists():
            continue
        subprocess.run(["apt-get", "download", f"{name}={version}"], cwd=folder, check=True)
        (package,) = folder.glob(f"{name}_*.deb")
        subprocess.run(["dpkg", "-x", package, folder / f"{name}.part"], check=True)
        (folder / f"{name}.part").rename(folder / name)
    for name, version in config["npm"].items():
        if (folder / name).exists():
            continue
        subprocess.run(["npm", "pack", f"{name}@{version}"], cwd=folder, check=True)
        with tarfile.open(folder / f"{name}-{version}.tgz") as archive:
            archive.extractall(folder / f"{name}.part", filter="data")
        (folder / f"{name}.part").rename(folder / name)
    return folder


def asterisk_prompts(packages: Path, words: int = 4) -> list[Clip]:
    """The telephone prompts of at least `words` words whose text is what the voice says."""
    listing = (
        packages / "asterisk-core-sounds-en/usr/share/doc/asterisk-core-sounds-en"
        "/core-sounds-en.txt.gz"
    )
    sounds = packages / "asterisk-core-sounds-en-g722/usr/share/asterisk/sounds/en_US_f_Allison"
    clips = []
    for line in gzip.decompress(listing.read_bytes()).decode().splitlines():
        name, _, raw = line.partition(":")
        path = sounds / f"{name.strip()}.g722"
        spelled = spell_digits(raw.replace(" thru ", " through ").replace("umute", "unmute"))
        text = normalize(spelled) if spelled else None
        if text and len(text.split()) >= words and path.exists():
            clips.append(Clip(name.replace("/", "-"), text, "asterisk", "allison", path))
    return sorted(clips, key=lambda clip: clip.name)


def game_lines(config: dict[str, Any], packages: Path) -> tuple[list[Clip], list[Clip]]:
    """Training and held-out lines of the game, disjoint by character and by text.

    Labels name characters except in cutscenes, whose lines stay on the training side.
    """
    archive = packages / "flight-of-the-amazon-queen/usr/share/scummvm"
    archive = archive / "flight-of-the-amazon-queen/queen.1c"
    train, held_out = [], []
    with gzip.open(HERE / "data" / "queen.jsonl.gz", "rt") as file:
        for name, offset, size, label, raw in map(json.loads, file):
            text = normalize(raw)
            if text is None:
                continue
            character = re.sub(r"\d+$", "", label.removesuffix(":P"))
            clip = Clip(name, text, "game", character.lower(), archive, offset, size)
            if character not in config["game_held_out"]:
                train.append(clip)
            elif len(text.split()) >= 4:
                held_out.append(clip)
    heard = {clip.text for clip in held_out}
    return [clip for clip in train if clip.text not in heard], held_out


def sky_lines(packages: Path) -> list[Clip]:
    """The lines of Beneath a Steel Sky; nobody knows whose they are."""
    folder = "beneath-a-steel-sky/usr/share/scummvm/beneath-a-steel-sky"
    archive = packages / folder / "sky.dsk"
    clips = []
    with gzip.open(HERE / "data" / "sky.jsonl.gz", "rt") as file:
        for number, offset, size, raw in map(json.loads, file):
            text = normalize(raw)
            if text is not None:
                clips.append(Clip(str(number), text, "sky", "sky", archive, offset, size))
    return clips


def sentences(config: dict[str, Any], packages: Path) -> Iterator[str]:
    """Short English sentences: WordNet's quoted examples and selected fortunes."""
    low, high = config["sentences"]["words"]
    for raw in (*_wordnet(packages), *_fortunes(packages, config["sentences"]["fortunes"])):
        text = normalize(raw)
        if text and low <= len(text.split()) <= high:
            yield raw.strip()


def _wordnet(packages: Path) -> Iterator[str]:
    for path in sorted((packages / "wordnet-base/usr/share/wordnet").glob("data.*")):
        for line in path.read_text().splitlines():
            yield from re.findall(r'"([^"]+)"', line.partition("|")[2])


def _fortunes(packages: Path, names: list[str]) -> Iterator[str]:
    for name in names:
        text = (packages / "fortunes/usr/share/games/fortunes" / name).read_text()
        for block in re.split(r"\n%\n", text):
            prose = re.sub(r"\s+", " ", block.partition("\n\t\t-- ")[0])
            yield from re.findall(r"[A-Z][a-z' ,;-]+(?:[A-Za-z' ,;-])*[.!?]", prose)


def _decode_g722(path: Path) -> np.ndarray:
    command = ["ffmpeg", "-v", "error", "-f", "g722", "-i", path, "-f", "f32le", "-"]
    return np.frombuffer(subprocess.run(command, capture_output=True, check=True).stdout, "<f4")
