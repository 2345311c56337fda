"""`quantkit transcribe` as users and scripts see it."""

import json
import os
import pty
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from quantkit.cli import main
from quantkit.runtime.stream_state import StreamState
from quantkit.runtime.transcriber import Transcriber
from tests.cli.blocked import BUILD_EXTRA, without


@pytest.fixture
def wav(tmp_path, speech_like) -> Path:
    path = tmp_path / "speech.wav"
    soundfile.write(path, speech_like, 16_000, subtype="FLOAT")
    return path


@pytest.fixture
def text(tiny_artifact, wav) -> str:
    return Transcriber.load(tiny_artifact).transcribe(wav).text


def test_one_file_is_its_text_alone(tiny_artifact, wav, text, capsys) -> None:
    assert main(["transcribe", str(tiny_artifact), str(wav)]) == 0
    assert capsys.readouterr().out == f"{text}\n"
    assert text


def test_json_is_one_object_a_line(tiny_artifact, wav, text, capsys) -> None:
    assert main(["transcribe", str(tiny_artifact), str(wav), str(wav), "--json"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(lines) == 2
    assert lines[0].keys() == {
        *("file", "duration_s", "text", "tokens", "rtfx"),
        *("replaced_samples", "lost_frames"),
    }
    assert (lines[0]["replaced_samples"], lines[0]["lost_frames"]) == (0, 0)
    assert lines[0]["file"] == str(wav)
    assert lines[0]["duration_s"] == 3.0
    assert lines[0]["text"] == text
    assert lines[0]["tokens"][0].keys() == {"id", "piece", "frame", "time_s"}
    assert lines[0]["rtfx"] > 0


def test_a_bad_file_does_not_stop_the_others(tiny_artifact, wav, text, tmp_path, capsys) -> None:
    bad = tmp_path / "bad.wav"
    bad.write_bytes(b"not audio")
    files = [str(bad), str(wav), str(tmp_path / "gone.wav")]
    assert main(["transcribe", str(tiny_artifact), *files]) == 2
    out, err = capsys.readouterr()
    assert out == f"{wav}: {text}\n"
    assert "bad.wav" in err
    assert "gone.wav" in err
    assert "Traceback" not in err


def test_streams_together_give_the_same_lines(
    tiny_artifact, wav, tmp_path, speech_like, capsys
) -> None:
    short = tmp_path / "short.wav"
    soundfile.write(short, speech_like[:9000], 16_000, subtype="FLOAT")
    files = [str(wav), str(short), str(tmp_path / "gone.wav"), str(wav)]
    outputs = []
    for streams in ("1", "2"):
        words = ["transcribe", str(tiny_artifact), *files, "--json", "--streams", streams]
        assert main(words) == 2
        out, err = capsys.readouterr()
        assert "gone.wav" in err
        outputs.append([json.loads(line) | {"rtfx": None} for line in out.splitlines()])
    assert outputs[0] == outputs[1]
    assert [line["file"] for line in outputs[0]] == [str(wav), str(short), str(wav)]


@pytest.mark.parametrize("streams", ["1", "1000000"])
def test_each_file_has_its_own_error(
    tiny_artifact, wav, text, tmp_path, speech_like, capsys, streams
) -> None:
    """Odd names and odd types; and no more slots than files."""
    odd = Path(os.fsdecode(os.fsencode(tmp_path) + b"/b\xff.wav"))
    odd.write_bytes(wav.read_bytes())
    bad = [tmp_path / name for name in ("a.raw", "b.vox6", "c.gsm", "d.mp3", "e.sd2", "x" * 300)]
    for path in bad[:-1]:
        path.write_bytes(b"neither sound nor silence " * 100)
    words = ["transcribe", str(tiny_artifact), *map(str, bad), str(odd), str(wav)]
    assert main([*words, "--streams", streams]) == 2
    out, err = capsys.readouterr()
    assert out == f"{tmp_path}/b\\udcff.wav: {text}\n{wav}: {text}\n"
    assert len(err.splitlines()) == len(bad)
    assert all(path.name in err for path in bad)


@pytest.mark.parametrize("streams", ["1", "2"])
def test_what_is_wrong_with_a_file_is_said_and_counted(
    tiny_artifact, tmp_path, speech_like, capsys, streams
) -> None:
    audio = speech_like.copy()
    audio[[5, 7000]] = np.nan, 1e20
    path = tmp_path / "a.wav"
    soundfile.write(path, audio, 16_000, subtype="FLOAT")
    path.write_bytes(path.read_bytes() * 2)
    words = ["transcribe", str(tiny_artifact), str(path), "--json", "--streams", streams]
    assert main(words) == 0
    out, err = capsys.readouterr()
    line = json.loads(out)
    assert (line["duration_s"], line["replaced_samples"]) == (6.0, 4)
    assert err.splitlines() == [
        f"quantkit: {path}: is 2 recordings joined: all are heard.",
        f"quantkit: {path}: has samples that are not finite or beyond 32768 (full scale is 1): "
        f"4 are taken as silence.",
    ]


def test_standard_input_is_a_file(tiny_artifact, wav, text) -> None:
    command = _command("transcribe", str(tiny_artifact), "-", "--json")
    done = subprocess.run(command, input=wav.read_bytes(), capture_output=True)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["text"] == text
    assert json.loads(done.stdout)["file"] == "-"


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-16"])
def test_json_is_json_in_any_encoding(tiny_artifact, wav, tmp_path, encoding) -> None:
    """With what libsndfile would print for a damaged file, which C keeps until the end."""
    odd = tmp_path / "gr\u00fc\u00dfe \u2603.wav"
    odd.write_bytes(wav.read_bytes())
    for kind, subtype in (("SDS", None), ("CAF", "ALAC_16")):
        dump = tmp_path / f"a.{kind.lower()}"
        soundfile.write(dump, np.zeros(2000), 16_000, format=kind, subtype=subtype)
        content = bytearray(dump.read_bytes())
        content[-300:] = b"\xff" * 300
        dump.write_bytes(content)
    files = [str(tmp_path / "a.sds"), str(tmp_path / "a.caf"), str(odd)]
    command = _command("transcribe", str(tiny_artifact), *files, "--json")
    done = subprocess.run(
        command, env=os.environ | {"PYTHONIOENCODING": encoding}, capture_output=True
    )
    assert done.returncode == 2
    assert json.loads(done.stdout.decode(encoding))["file"] == str(odd)


def test_a_text_is_one_line_without_control_characters(
    tiny_artifact, wav, tmp_path, capsys
) -> None:
    """Bytes of a vocabulary with byte pieces can be any."""
    artifact = tmp_path / "artifact"
    shutil.copytree(tiny_artifact, artifact)
    lines = [f"<0x{byte:02X}> {i}\n" for i, byte in enumerate(b"\x1b\n\r\x07[2Jab<>c")]
    (artifact / "tokens.txt").write_text("".join(lines) + f"<blk> {len(lines)}\n")
    assert main(["transcribe", str(artifact), str(wav)]) == 0
    out = capsys.readouterr().out
    assert out.endswith("\n")
    assert out[:-1].isprintable()
    assert "\\x1b" in out or "\\n" in out


def test_text_is_spelled_for_who_sees_it_only(tiny_artifact, wav, monkeypatch, capsys) -> None:
    asked = []

    def text(_: StreamState) -> str:
        asked.append(1)
        return "said"

    monkeypatch.setattr(StreamState, "text", property(text))
    assert main(["transcribe", str(tiny_artifact), str(wav)]) == 0
    assert capsys.readouterr().out == "said\n"
    assert len(asked) == 1


def test_references_stand_above_what_was_decoded(
    tiny_artifact, wav, text, tmp_path, capsys
) -> None:
    manifest = tmp_path / "m.jsonl"
    manifest.write_text(json.dumps({"audio": wav.name, "text": "what was said"}))
    arguments = ["transcribe", str(tiny_artifact), str(wav), "--references", str(manifest)]
    assert main(arguments) == 0
    assert capsys.readouterr().out.splitlines() == [
        str(wav),
        "  said     what was said",
        f"  decoded  {text}",
    ]


def test_realtime_takes_as_long_as_the_audio(tiny_artifact, tmp_path, speech_like, capsys) -> None:
    path = tmp_path / "short.wav"
    soundfile.write(path, speech_like[:8000], 16_000)
    began = time.monotonic()
    assert main(["transcribe", str(tiny_artifact), str(path), "--realtime", "--json"]) == 0
    assert time.monotonic() - began >= 0.5
    assert json.loads(capsys.readouterr().out)["duration_s"] == 0.5


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["{artifact}"], "found no audio file"),
        (["nowhere", "a.wav"], "nowhere: no such artifact"),
        (["{artifact}", "a.wav", "--threads", "0"], "--threads: found 0, accepted: 1 to 1024"),
        (["{artifact}", "a.wav", "--threads", "1099511627776"], "accepted: 1 to 1024"),
        (
            ["{artifact}", "a.wav", "--jsn"],
            "--jsn: is neither an option of transcribe nor an audio",
        ),
        (["{artifact}", "a.wav", "--streams", "0"], "--streams: found 0, accepted: 1 or more"),
        (
            ["{artifact}", "a.wav", "--streams", "2", "--realtime"],
            "--realtime: found with --streams 2, accepted: one at a time",
        ),
    ],
)
def test_wrong_arguments(tiny_artifact, capsys, arguments, expected) -> None:
    words = [word.format(artifact=tiny_artifact) for word in arguments]
    assert main(["transcribe", *words]) == 2
    assert expected in capsys.readouterr().err


def _command(*words: str) -> list[str]:
    return [sys.executable, "-m", "quantkit.cli", *words]


@pytest.mark.slow
def test_partial_text_on_a_terminal_only(tiny_artifact, wav, text) -> None:
    main_end, child_end = pty.openpty()
    command = _command("transcribe", str(tiny_artifact), str(wav))
    child = subprocess.Popen(command, stdout=child_end)
    os.close(child_end)
    said = b""
    while True:
        try:
            piece = os.read(main_end, 4096)
        except OSError:
            break  # the other end of the terminal was closed
        if not piece:
            break
        said += piece
    assert child.wait() == 0
    assert said.count(b"\r\x1b[K") > 2
    assert said.decode().replace("\r\n", "\n").endswith(f"\x1b[K{text}\n")


@pytest.mark.slow
def test_the_runtime_needs_no_extra(tiny_artifact, wav, text) -> None:
    script = (
        f"{without(BUILD_EXTRA)}\n"
        "from quantkit.cli import main\n"
        f"sys.exit(main(['transcribe', {str(tiny_artifact)!r}, {str(wav)!r}]))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, f"{text}\n"), done.stderr


@pytest.mark.slow
def test_an_interrupt_is_one_line(tiny_artifact, wav) -> None:
    # A shell's background jobs, and so a CI's, start with SIGINT ignored.
    command = ["env", "--default-signal=INT"]
    command += _command("transcribe", str(tiny_artifact), *[str(wav)] * 100, "--realtime")
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stderr is not None
        child.stdout.readline()
        child.send_signal(signal.SIGINT)
        assert child.wait(10) == 130
        told = b"quantkit: interrupted; give the same command again to go on\n"
        assert child.stderr.read() == told


@pytest.mark.slow
def test_a_closed_pipe_is_quiet(tiny_artifact, wav) -> None:
    command = _command("transcribe", str(tiny_artifact), *[str(wav)] * 50)
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stderr is not None
        child.stdout.readline()
        child.stdout.close()
        assert child.wait(20) == 141
        assert child.stderr.read() == b""
