"""Parts of files are recorded, verified and heard as if they were files of their own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from quantkit.calibrate.sensitivity.reference import hear
from quantkit.core.progress import Silent
from quantkit.evaluate.parity_stage import verify_model
from quantkit.nemo.reference.record import record_reference
from quantkit.runtime.audio import read_audio
from quantkit.speech.manifest import Recording, Segment, read_manifest

RATE = 16_000


def test_parts_of_a_call_are_what_their_own_files_are(
    demo_checkpoint: Path, demo_artifact: Path, parity_manifest: Path, tmp_path: Path
) -> None:
    speech = [(one.text, read_audio(one.audio, RATE)) for one in read_manifest(parity_manifest)[:2]]
    call = np.concatenate([samples for _, samples in speech])
    soundfile.write(tmp_path / "call.wav", call, RATE, subtype="PCM_16")
    parts: list[dict[str, Any]] = []
    files: list[dict[str, Any]] = []
    offset = 0.0
    for number, (text, samples) in enumerate(speech):
        soundfile.write(tmp_path / f"{number}.wav", samples, RATE, subtype="PCM_16")
        # A thousandth of a sample more, for what a float loses.
        seconds = (len(samples) + 1e-3) / RATE
        part = {"audio_filepath": "call.wav", "offset": offset, "duration": seconds, "text": text}
        parts.append(part)
        files.append({"audio": f"{number}.wav", "text": text})
        offset += seconds
    said = []
    for name, lines in (("parts", parts), ("files", files)):
        out = tmp_path / name
        out.mkdir()
        manifest = tmp_path / f"{name}.jsonl"
        manifest.write_text("".join(json.dumps(line) + "\n" for line in lines))
        record_reference(demo_checkpoint, 560, manifest, out, Silent())
        verify_model(demo_artifact, out, manifest, out, Silent())
        rows = json.loads((out / "reference.json").read_text())
        parity = json.loads((out / "parity.json").read_text())
        said.append(([row["tokens"] for row in rows], parity))
    assert said[0] == said[1]
    assert said[0][1]["wer"]["reference"] < 1

    second = Segment(tmp_path / "call.wav", parts[1]["offset"], parts[1]["duration"])
    recordings: list[Recording] = [second, tmp_path / "1.wav"]
    one, other = hear(demo_artifact, recordings, Silent())
    np.testing.assert_array_equal(one.encoded, other.encoded)
