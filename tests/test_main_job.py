"""The README's job on the real demo model: build, survive kills, transcribe."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from contextlib import chdir
from pathlib import Path
from typing import Any

import pytest

from quantkit.cli import main
from quantkit.core.files import sha256_file
from quantkit.evaluate.words import word_errors
from quantkit.runtime.transcriber import Transcriber

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent
SPEECH = 6
PATIENCE_S = 300.0


@pytest.fixture(scope="module")
def speech(parity_manifest: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first prompts of the parity set."""
    rows = [json.loads(line) for line in parity_manifest.read_text().splitlines()[:SPEECH]]
    for row in rows:
        row["audio"] = str(parity_manifest.parent / row["audio"])
    manifest = tmp_path_factory.mktemp("speech") / "manifest.jsonl"
    manifest.write_text("\n".join(json.dumps(row) for row in rows))
    return manifest


def words_of(workshop: Path, speech: Path) -> list[str]:
    words = ["build", "recipes/demo-int4-kquant.yaml", "--set", f"verify.manifest={speech}"]
    # Six prompts are too few for the recipe's gates.
    words += ["--set", "verify.gates={token_error_rate: 0.99}"]
    return [*words, "--store", str(workshop / "store"), "--out", str(workshop / "artifact")]


def build(workshop: Path, speech: Path) -> subprocess.Popen[str]:
    words = words_of(workshop, speech)
    command = [sys.executable, "-m", "quantkit.cli", *words]
    return subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def finish(workshop: Path, speech: Path) -> str:
    with build(workshop, speech) as process:
        output = process.communicate(timeout=PATIENCE_S)[0]
    assert process.returncode == 0, output
    return output


def kill_at(written: str, workshop: Path, speech: Path) -> None:
    """SIGKILL the build as soon as a file that a glob describes is in the store."""
    with build(workshop, speech) as process:
        deadline = time.monotonic() + PATIENCE_S
        while not any((workshop / "store").glob(written)):
            assert process.poll() is None, f"ended before {written}: {process.communicate()[0]}"
            assert time.monotonic() < deadline, f"never came to {written}"
            time.sleep(0.01)
        process.kill()
        assert process.wait() == -signal.SIGKILL


def manifest(artifact: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((artifact / "manifest.json").read_text())
    return found


def digests(directory: Path) -> dict[str, str]:
    return {path.name: sha256_file(path) for path in sorted(directory.iterdir())}


@pytest.fixture(scope="module")
def undisturbed(speech: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    workshop = tmp_path_factory.mktemp("undisturbed")
    with chdir(ROOT):
        assert main(words_of(workshop, speech)) == 0
    return workshop / "artifact"


def test_a_build_killed_in_three_stages_gives_the_same_bytes(
    undisturbed: Path, speech: Path, tmp_path: Path
) -> None:
    for written in ("export/.*partial*/*", "quantize/.*partial*/*", "results/*/arrays/*.npz"):
        kill_at(written, tmp_path, speech)
    output = finish(tmp_path, speech)
    assert "export: cached" in output
    assert "quantize: cached" in output
    assert manifest(tmp_path / "artifact") == manifest(undisturbed)
    assert digests(tmp_path / "artifact") == digests(undisturbed)


def test_an_artifact_can_be_moved(undisturbed: Path, speech: Path, tmp_path: Path) -> None:
    """Its weights are beside the graphs, not where they were built."""
    audio = Path(json.loads(speech.read_text().splitlines()[0])["audio"])
    there = Transcriber.load(undisturbed).transcribe(audio)
    moved = shutil.copytree(undisturbed, tmp_path / "elsewhere")
    assert Transcriber.load(moved).transcribe(audio).tokens == there.tokens


def test_the_artifact_is_small_and_still_speaks(undisturbed: Path, speech: Path) -> None:
    manifest = json.loads((undisturbed / "manifest.json").read_text())
    encoder = manifest["graphs"]["encoder"]
    assert encoder["bits_per_weight"] < 6
    wide = [row for row in encoder["tensors"] if row["bits"] != 4 and len(row["shape"]) == 2]
    left = [row["name"] for row in wide if not row["name"].endswith("bias")]
    assert not left, "a weight matrix of the encoder was left out"
    assert manifest["total_bytes"] < 12e6

    transcriber = Transcriber.load(undisturbed)
    errors = words = 0
    for line in speech.read_text().splitlines():
        row = json.loads(line)
        found = word_errors(row["text"], transcriber.transcribe(Path(row["audio"])).text)
        errors, words = errors + found.total, words + found.words
    parity = manifest["parity"]["wer"]
    assert errors / words == parity["candidate"]
