"""The other commands: exit codes, messages, no traceback."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from quantkit import __version__
from quantkit.build.engine import Stage
from quantkit.cli import main
from tests.build.toy import CHAIN, Points, make_workshop, toy_chain
from tests.cli.blocked import without


@pytest.fixture
def workshop(tmp_path, monkeypatch) -> Path:
    make_workshop(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(CHAIN, lambda recipe, found: toy_chain(recipe, found, Points()))
    return tmp_path


def test_schema_is_json_schema(capsys) -> None:
    assert main(["schema"]) == 0
    schema = json.loads(capsys.readouterr().out)
    assert schema["additionalProperties"] is False
    assert schema["properties"].keys() == {
        "schema",
        "name",
        "model",
        "calibrate",
        "quantize",
        "sensitivity",
        "verify",
    }


@pytest.mark.parametrize(("of", "key"), [("suite", "sets"), ("report", "schemes")])
def test_other_schemas(of: str, key: str, capsys) -> None:
    assert main(["schema", of]) == 0
    assert key in json.loads(capsys.readouterr().out)["properties"]


def test_help_and_version(capsys) -> None:
    assert main(["--help"]) == 0
    assert "transcribe" in capsys.readouterr().out
    assert main(["--version"]) == 0
    assert __version__ in capsys.readouterr().out


@pytest.mark.parametrize("words", [["bild"], ["build"], ["build", "a", "b"], ["transcribe", "--x"]])
def test_words_that_are_no_command(words, capsys) -> None:
    assert main(words) == 2
    assert "Traceback" not in capsys.readouterr().err


def test_build_plan_and_again(workshop, capsys) -> None:
    assert main(["build", "recipe.yaml", "--plan"]) == 0
    assert capsys.readouterr().out.splitlines()[0] == "export     run: never run"
    assert not (workshop / "artifacts").exists()

    assert main(["build", "recipe.yaml"]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("artifacts/toy: ")
    assert "1 of 10 (10.00%)" in out
    assert "gate token_error_rate of toy: measured 0.1" in out
    assert "export: done in" in err

    assert main(["build", "recipe.yaml", "--plan", "--set", "quantize.bits=8"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:3] == [
        "export     cached",
        "fuse       cached",
        "quantize   run: settings.bits 4 -> 8",
    ]


def test_a_build_says_what_was_not_done_as_asked(workshop, capsys) -> None:
    note = "quantkit: note: encoder: table 'w' stays float32\n"
    for _ in range(2):  # a cached one too
        assert main(["build", "recipe.yaml", "--set", "quantize.bits=2"]) == 0
        assert note in capsys.readouterr().err
    assert main(["build", "recipe.yaml", "--set", "quantize.bits=8"]) == 0
    assert "note" not in capsys.readouterr().err


def test_a_missed_gate_is_exit_code_1_with_by_how_much(workshop, capsys) -> None:
    words = ["build", "recipe.yaml", "--set", "verify.gates.token_error_rate=0.04", "--out", "a"]
    assert main(words) == 1
    err = capsys.readouterr().err
    assert "gate missed: token_error_rate of toy: measured 0.1" in err
    assert "missed by 0.06" in err
    assert (workshop / "a" / "manifest.json").is_file()


def test_a_wrong_recipe_is_exit_code_2(workshop, capsys) -> None:
    assert main(["build", "recipe.yaml", "--set", "quantize.bits=5"]) == 2
    err = capsys.readouterr().err
    assert "--set quantize.bits=5: quantize.bits: found 5, accepted: 2, 4 or 8" in err


def test_debug_lets_the_traceback_through(workshop) -> None:
    with pytest.raises(ValueError, match="found 5"):
        main(["build", "recipe.yaml", "--set", "quantize.bits=5", "--debug"])


def test_a_damaged_artifact_is_not_verified(workshop, capsys) -> None:
    assert main(["build", "recipe.yaml"]) == 0
    (workshop / "artifacts" / "toy" / "tokens.txt").write_text("x")
    assert main(["verify", "artifacts/toy"]) == 2
    assert "tokens.txt: found 1 bytes" in capsys.readouterr().err


def test_another_checkpoint_is_not_compared_with(workshop, capsys) -> None:
    assert main(["build", "recipe.yaml"]) == 0
    (workshop / "other.nemo").write_bytes(b"other")
    assert main(["verify", "artifacts/toy", "--source", "other.nemo"]) == 2
    assert "other.nemo: found a checkpoint with sha256" in capsys.readouterr().err


def test_verify_writes_the_report_and_judges(workshop, capsys, monkeypatch) -> None:
    from tests.build.toy import PARITY

    def verify(model, pytorch, manifest, store, progress):
        assert (pytorch.checkpoint.name, pytorch.chunk_ms) == ("toy.nemo", 560)
        assert (model, manifest, store.name) == (
            Path("artifacts/toy"),
            Path("speech.jsonl"),
            "store",
        )
        return PARITY | {"token_errors": 5}

    monkeypatch.setattr("quantkit.build.verify.verify_on_manifest", verify)
    assert main(["build", "recipe.yaml"]) == 0
    assert main(["verify", "artifacts/toy", "--json", "report.json"]) == 1
    assert json.loads((workshop / "report.json").read_text())["token_errors"] == 5
    assert "missed by 0.4" in capsys.readouterr().err


def test_calibrate_shows_what_was_heard_and_copies_it(workshop, capsys, monkeypatch) -> None:
    graph = {"matrices": 3, "inputs": 2, "largest_input": 1024, "rows": 12345}
    report = {"recordings": 7, "seconds": 65.2, "graphs": {"encoder": graph}}

    def work(space) -> None:
        (space.out / "calibration.json").write_text(json.dumps(report))
        (space.out / "hessians").mkdir()
        (space.out / "hessians" / "encoder-000.npy").write_bytes(b"numbers")

    def stages(recipe, checkpoint, *, hessians) -> list[Stage]:
        graphs = Stage("fuse", "1", lambda _: None)
        return [graphs, Stage("calibrate", "1", work, {"hessians": hessians})]

    monkeypatch.setattr("quantkit.build.calibration.calibration_chain", stages)
    assert main(["calibrate", "recipe.yaml", "--hessians", "--out", "statistics"]) == 0
    out, err = capsys.readouterr()
    assert "calibrate: done in" in err
    assert "7 recordings, 1:05 minutes of speech" in out
    for text in ("encoder", "3", "2", "1,024", "12,345", "statistics in statistics"):
        assert text in out
    copied = workshop / "statistics" / "hessians" / "encoder-000.npy"
    assert copied.read_bytes() == b"numbers"

    assert main(["calibrate", "recipe.yaml", "--hessians", "--out", "statistics"]) == 0
    assert "calibrate: cached" in capsys.readouterr().err
    (workshop / "mine").mkdir()
    (workshop / "mine" / "thesis.tex").touch()
    assert main(["calibrate", "recipe.yaml", "--out", "mine"]) == 2
    assert "--out mine: exists and holds no statistics" in capsys.readouterr().err


def test_wrong_speech_is_told_with_its_place(workshop, capsys) -> None:
    assert main(["calibrate", "recipe.yaml", "--set", "calibrate.folder=gone"]) == 2
    told = "--set calibrate.folder=gone: calibrate.folder: gone is no folder"
    assert told in capsys.readouterr().err


@pytest.mark.slow
def test_quantize_any_onnx_file(tmp_path, capsys) -> None:
    import numpy as np
    import onnx_ir as ir

    numbers = np.random.default_rng(0).normal(size=(64, 32)).astype(np.float32)
    weight = ir.Value(name="w", const_value=ir.tensor(numbers, name="w"))
    x = ir.Value(name="x", type=ir.TensorType(ir.DataType.FLOAT), shape=ir.Shape([1, 64]))
    node = ir.node("MatMul", [x, weight])
    y = node.outputs[0]
    y.name, y.type, y.shape = "y", ir.TensorType(ir.DataType.FLOAT), ir.Shape([1, 32])
    graph = ir.Graph([x], [y], nodes=[node], initializers=[weight], opset_imports={"": 21})
    ir.save(ir.Model(graph, ir_version=10), tmp_path / "m.onnx")
    out = tmp_path / "q.onnx"
    words = ["quantize", str(tmp_path / "m.onnx"), "--scheme", "rtn", "--out", str(out)]
    assert main([*words, "--block-size", "16"]) == 0
    assert "bits per weight" in capsys.readouterr().out
    assert out.exists()
    assert main([*words, "--bits", "3"]) == 2
    assert "bits" in capsys.readouterr().err

    widths = ["--exclude", "m/none*", "--rule", "m/w=8x32"]
    assert main([*words, *widths]) == 2
    assert "'m/none*' matches none of the 1 quantizable tensors" in capsys.readouterr().err
    assert main([*words, *widths[2:]]) == 0
    # 8 bits, a scale and a zero point for 32 weights.
    assert "9.25 bits per weight" in capsys.readouterr().out
    assert main([*words, "--exclude", "m/*"]) == 2
    assert "nothing to quantize" in capsys.readouterr().err
    assert main([*words, "--rule", "m/w"]) == 2
    assert "--rule: found 'm/w', accepted: GLOB=BITS" in capsys.readouterr().err

    for name in ("a.npz", "b.npz"):
        np.savez(tmp_path / name, allow_pickle=False, x=numbers[:, :1].T)
    files = ["--calibration", str(tmp_path / "a.npz"), str(tmp_path / "b.npz")]
    assert main([*words, *files]) == 2
    assert "'rtn' makes no use" in capsys.readouterr().err
    words[3] = "kquant"
    assert main([*words, *files]) == 0
    assert main([*words, "--calibration", str(tmp_path / "none.npz")]) == 2
    assert "none.npz: no such file" in capsys.readouterr().err


def test_a_missing_extra_is_exit_code_3() -> None:
    script = f"{without(['pydantic'])}\nfrom quantkit.cli import main\nsys.exit(main(['schema']))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 3
    assert "pip install 'quantkit[build]'" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_a_bug_is_told_without_a_traceback() -> None:
    script = (
        "import sys\n"
        "from quantkit.cli import main\n"
        "from quantkit.cli.commands import app\n"
        "app.command(lambda: 1 / 0, name='boom')\n"
        "sys.exit(main())"
    )
    command = [sys.executable, "-c", script, "boom"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 70
    assert done.stderr.startswith("quantkit: internal error: ZeroDivisionError")
    assert "Traceback" not in done.stderr
    assert (
        "Traceback" in subprocess.run([*command, "--debug"], capture_output=True, text=True).stderr
    )


@pytest.mark.parametrize(
    ("command", "why"),
    [
        ("build recipe.yaml --out .", "exists and holds no artifact of quantkit"),
        ("build recipe.yaml --out one.wav/made", "one.wav is a file"),
        ("build recipe.yaml --store made/store --out made", "would replace made/store"),
        ("build recipe.yaml --store kept --out kept/made", "lies in the store"),
        (f"build recipe.yaml --out {'n' * 250}", "File name too long"),
        ("calibrate recipe.yaml --out one.wav", "is a file"),
        ("calibrate recipe.yaml --out mine", "holds no statistics of quantkit"),
        ("bundle made --format native --out one.wav", "is a file"),
        ("bundle mine --format native --out mine", "would replace mine"),
        ("verify made --json mine", "is a directory"),
        ("sensitivity recipe.yaml --json mine", "is a directory"),
        ("sensitivity recipe.yaml --plot mine.svg", "is a directory"),
        ("bench made --json mine", "is a directory"),
        ("compare recipe.yaml --out one.wav", "one.wav is a file"),
        ("compare recipe.yaml --store one.wav", "--store one.wav/speech: cannot be written"),
        (f"quantize m.onnx --scheme rtn --out {'n' * 245}", "File name too long"),
        ("quantize m.onnx --scheme rtn --out mine", "is a directory"),
        ("bench made --threads 1099511627776", "1 to 1024 threads"),
        ("bench made --rounds 10000000000", "1 to 1000000 rounds"),
        ("bench made --audio one.wav --streams 1000000", "numbers up to 1024"),
        ("compare recipe.yaml --jobs 1000000000", "accepted: 1 to 1024"),
    ],
)
def test_what_cannot_be_done_is_refused_before_the_work(command, why, workshop, capsys) -> None:
    for name in ("mine", "mine.svg"):
        (workshop / name).mkdir()
        (workshop / name / "thesis.tex").touch()
    assert main(command.split()) == 2
    out, err = capsys.readouterr()
    assert why in " ".join(err.split())
    assert "running" not in err
    assert not out
    assert not list(workshop.rglob(".*"))


def test_a_report_may_go_into_the_working_directory(workshop, capsys) -> None:
    assert main(["compare", "gone.yaml", "--out", "."]) == 2
    assert "gone.yaml" in capsys.readouterr().err
