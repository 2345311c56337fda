"""`python -m demo.prepare`: fetch the packages, write the evaluation sets and the training speech.

Every file is computed by itself and skipped when it is already there, so an interrupted run
goes on where it stopped.
"""

from __future__ import annotations

import gzip
import io
import json
import multiprocessing
import os
import random
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain, zip_longest
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch

from demo import config as settings
from demo import sources
from demo.align import aligner
from demo.initial import extract_tokenizer, initial_checkpoint
from demo.sources import RATE, Clip
from demo.speech import write_speech
from demo.synthesize import Phones, speak
from demo.text import normalize


@dataclass(frozen=True)
class Spoken:
    """A sentence for one synthetic voice, used as a recorded `Clip` is."""

    name: str
    raw: str
    speaker: str
    seed: int

    @property
    def source(self) -> str:
        """Kokoro's many voices are one source; every other voice is its own."""
        return "kokoro" if self.speaker.startswith("kokoro") else self.speaker

    @property
    def text(self) -> str:
        """What the model has to write."""
        return normalize(self.raw) or ""

    def load(self) -> tuple[np.ndarray, Phones]:
        """Samples and phone times."""
        return speak(self.speaker, self.raw, self.seed, packages_folder())


def main() -> None:
    """Prepare everything that training and evaluation read."""
    config = settings.load()
    cache = settings.cache(config)
    packages = sources.fetch(config, cache / "packages")
    prompts = sources.asterisk_prompts(packages)
    game_train, game_held_out = sources.game_lines(config, packages)
    pool, spoken_held_out = hold_out(config, list(sources.sentences(config, packages)))
    never = {clip.text for clip in (*prompts, *game_held_out, *spoken_held_out)}
    recorded = [
        clip for clip in (*game_train, *sources.sky_lines(packages)) if clip.text not in never
    ]
    texts = [raw for raw in pool if normalize(raw) not in never]
    texts += sorted({clip.text for clip in recorded})

    write_evaluation_set(cache / "eval/asterisk", prompts)
    write_evaluation_set(cache / "eval/game", game_held_out)
    write_evaluation_set(cache / "eval/synthetic", spoken_held_out)
    calibration = settings.ROOT / "calibration"
    write_calibration(config, cache / "eval/asterisk", calibration)
    seconds = config["calibration"]["game_seconds"]
    for name, lines in (("parity", game_held_out), ("calibration", game_train)):
        folder = calibration / f"game-{name}"
        write_game_set(config["seed"], seconds[name], lines, packages, folder)
    write_joined_manifest(calibration, ["asterisk-calibration", "game-calibration"])
    write_real_set(cache / "eval", calibration / "asterisk-calibration")

    extract_tokenizer(initial_checkpoint(config, cache), cache / "tokenizer")

    jobs = list(files(cache / "speech", config["file_clips"], [*assign(config, texts), *recorded]))
    jobs = [job for job in jobs if not job[0].with_suffix(".jsonl").exists()]
    with multiprocessing.get_context("spawn").Pool(
        os.cpu_count(), torch.set_num_threads, (1,)
    ) as pool:
        for count, path in enumerate(pool.imap_unordered(compute_file, jobs), start=1):
            print(f"{count}/{len(jobs)} {path.name}", flush=True)


def hold_out(config: dict[str, Any], sentences: list[str]) -> tuple[list[str], list[Spoken]]:
    """The sentences to train on, shuffled, and those from the end that only evaluation hears."""
    pool = list({normalize(raw): raw for raw in sentences}.values())
    random.Random(config["seed"]).shuffle(pool)
    held_out = []
    for voice, clips in config["held_out"].items():
        held_out += [Spoken(f"{voice}-{n:05d}", pool.pop(), voice, n) for n in range(clips)]
    return pool, held_out


def assign(config: dict[str, Any], texts: list[str]) -> list[Spoken]:
    """What each synthetic voice says: its own choice, which more clips only add to."""
    spoken = []
    for voice, clips in config["voices"].items():
        order = random.Random(f"{config['seed']}-{voice}").sample(texts, len(texts))
        for number, raw in enumerate(order[:clips]):
            speaker = voice
            if voice == "kokoro":
                draw = random.Random(f"{config['seed']}-{voice}-{number}")
                styles = draw.sample(config["kokoro_styles"], draw.choice((1, 2)))
                speaker = f"kokoro-{'+'.join(styles)}"
            spoken.append(Spoken(f"{voice}-{number:05d}", raw, speaker, number))
    return spoken


def write_evaluation_set(folder: Path, clips: list[Clip] | list[Spoken]) -> None:
    """Write 16 kHz FLAC files and, last, their manifest."""
    manifest = folder / "manifest.jsonl"
    if manifest.exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    lines = []
    for clip in clips:
        samples = clip.load()[0] if isinstance(clip, Spoken) else clip.load()
        name = f"{clip.name}.flac"
        soundfile.write(folder / name, np.clip(samples, -1, 1), RATE, subtype="PCM_16")
        seconds = round(len(samples) / RATE, 3)
        row = {"audio": name, "duration_s": seconds, "text": clip.text, "speaker": clip.speaker}
        lines.append(json.dumps(row) + "\n")
    manifest.write_text("".join(lines))


def write_calibration(config: dict[str, Any], source: Path, folder: Path) -> None:
    """Copy two disjoint choices of prompts into the repository, for parity and for calibration."""
    rows = read_rows(source)
    rows = [row for row in rows if 2.0 <= row["duration_s"] <= 8.0]
    random.Random(config["seed"]).shuffle(rows)
    first = config["calibration"]["parity"]
    last = first + config["calibration"]["calibration"]
    for name, chosen in (("parity", rows[:first]), ("calibration", rows[first:last])):
        target = folder / f"asterisk-{name}"
        target.mkdir(parents=True, exist_ok=True)
        lines = []
        for row in sorted(chosen, key=lambda row: row["audio"]):
            shutil.copyfile(source / row["audio"], target / row["audio"])
            lines.append(json.dumps(row) + "\n")
        (target / "manifest.jsonl").write_text("".join(lines))


def write_game_set(
    seed: int, seconds_wanted: float, clips: list[Clip], packages: Path, folder: Path
) -> None:
    """Copy game lines into the repository, one of each character in turn, with the game's readme.

    Lines of cutscenes are left out: nobody knows whose they are.
    """
    order = random.Random(seed)
    by_character: dict[str, list[tuple[Clip, float]]] = {}
    for clip in order.sample(clips, len(clips)):
        seconds = soundfile.info(io.BytesIO(clip.content())).duration
        if ":" not in clip.speaker and len(clip.text.split()) >= 4 and 2.0 <= seconds <= 8.0:
            by_character.setdefault(clip.speaker, []).append((clip, seconds))
    chosen: list[tuple[Clip, float]] = []
    heard = 0.0
    turns = zip_longest(*(by_character[name] for name in sorted(by_character)))
    for clip, seconds in filter(None, chain.from_iterable(turns)):
        if heard >= seconds_wanted:
            break
        chosen.append((clip, seconds))
        heard += seconds
    folder.mkdir(parents=True, exist_ok=True)
    readme = packages / "flight-of-the-amazon-queen/usr/share/doc/flight-of-the-amazon-queen"
    (folder / "readme.txt").write_bytes(gzip.decompress((readme / "readme.txt.gz").read_bytes()))
    lines = []
    for clip, seconds in sorted(chosen, key=lambda line: line[0].name):
        name = f"{clip.name}.mp3"
        (folder / name).write_bytes(clip.content())
        row = {
            "audio": name,
            "duration_s": round(seconds, 3),
            "text": clip.text,
            "speaker": clip.speaker,
        }
        lines.append(json.dumps(row) + "\n")
    (folder / "manifest.jsonl").write_text("".join(lines))


def write_joined_manifest(folder: Path, names: list[str]) -> None:
    """Write one manifest over several sets."""
    rows = [
        row | {"audio": f"{name}/{row['audio']}"}
        for name in names
        for row in read_rows(folder / name)
    ]
    lines = [json.dumps(row) + "\n" for row in rows]
    (folder / "manifest.jsonl").write_text("".join(lines))


def write_real_set(folder: Path, calibration: Path) -> None:
    """One manifest of all real speech to evaluate on, without what is calibrated on."""
    used = {row["audio"] for row in read_rows(calibration)}
    rows = [
        row | {"audio": f"../{name}/{row['audio']}"}
        for name in ("asterisk", "game")
        for row in read_rows(folder / name)
        if row["audio"] not in used
    ]
    (folder / "real").mkdir(exist_ok=True)
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / "real/manifest.jsonl").write_text(text)


def read_rows(folder: Path) -> list[dict[str, Any]]:
    """The lines of a folder's manifest."""
    return [json.loads(line) for line in (folder / "manifest.jsonl").read_text().splitlines()]


Job = tuple[Path, list[Clip | Spoken]]


def files(folder: Path, size: int, clips: list[Clip | Spoken]) -> Iterator[Job]:
    """Cut each source's clips into files, in an order that serves every source early."""
    by_source: dict[str, list[Clip | Spoken]] = {}
    for clip in clips:
        by_source.setdefault(clip.source, []).append(clip)
    jobs = [
        (start / len(members), folder / f"{source}-{start // size:03d}", members[start:][:size])
        for source, members in by_source.items()
        for start in range(0, len(members), size)
    ]
    for _, path, members in sorted(jobs, key=lambda job: job[0]):
        yield path, members


def compute_file(job: Job) -> Path:
    """Load or synthesize the clips of one file, and write it."""
    path, clips = job
    write_speech(path, ((clip.text, clip.speaker, *load(clip)) for clip in clips))
    return path


def load(clip: Clip | Spoken) -> tuple[np.ndarray, Phones]:
    """Samples, and phones where the voice tells them or an alignment finds them."""
    if isinstance(clip, Spoken):
        return clip.load()
    samples = clip.load()
    return samples, phone_aligner()(samples, clip.text)


@lru_cache
def packages_folder() -> Path:
    """Where `sources.fetch` has put the packages."""
    return settings.cache(settings.load()) / "packages"


@lru_cache
def phone_aligner() -> Callable[[np.ndarray, str], Phones]:
    """One aligner for each process."""
    return aligner()


if __name__ == "__main__":
    main()
