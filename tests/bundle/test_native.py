import json
import os

import numpy as np
import onnx_ir as ir
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantkit.bundle.manifest import check_files, load_manifest, seal_problem, sealed
from quantkit.bundle.native import Facts, bundle_native, copy_file, float_graphs
from quantkit.core.errors import InputError
from quantkit.runtime.settings import StreamingSettings
from tests.runtime.conftest import streaming_json

PARITY = {
    "utterances": 3,
    "token_exact_utterances": 3,
    "token_errors": 0,
    "reference_tokens": 42,
    "near_tie_errors": 0,
    "encoder_max_abs_error": 2e-6,
    "wer": {"reference": 0.25, "candidate": 0.25},
}
FACTS = Facts(
    recipe={"name": "toy"},
    source={"name": "toy.nemo", "revision": None, "sha256": "0" * 64},
    versions={"quantkit": "0.1.0"},
    parity=PARITY,
    graphs=None,
    key="1" * 64,
)


def _graph() -> ir.Model:
    weight = ir.tensor(np.ones((8, 4), np.float32), name="weight")
    bias = ir.tensor(np.ones(4, np.float32), name="bias")
    index = ir.tensor(np.arange(3), name="index")
    values = [ir.Value(name=tensor.name, const_value=tensor) for tensor in (weight, bias, index)]
    graph = ir.Graph([], [], nodes=[], initializers=values, opset_imports={"": 21})
    return ir.Model(graph, ir_version=10)


@pytest.fixture
def model(tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    for name in ("encoder", "predictor", "joint"):
        data = f"{name}.onnx.data" if name == "encoder" else None
        ir.save(_graph(), folder / f"{name}.onnx", external_data=data)
    settings = streaming_json(right=6) | {
        "algorithmic_latency_s": 0.49,
        "latency_definition": "delay",
    }
    (folder / "streaming.json").write_text(json.dumps(settings))
    (folder / "tokens.txt").write_text("a 0\n")
    (folder / "tokenizer.model").write_bytes(b"pieces")
    (folder / "source.json").write_text("{}")
    return folder


@pytest.fixture
def artifact(model, tmp_path):
    out = tmp_path / "artifact"
    out.mkdir()
    bundle_native(model, out, FACTS)
    return out


def test_the_layout(artifact) -> None:
    names = {path.name for path in artifact.iterdir()}
    assert names >= {"encoder.onnx", "predictor.onnx", "joint.onnx", "manifest.json", "README.md"}
    assert "source.json" not in names
    manifest = load_manifest(artifact)
    check_files(artifact, manifest)
    assert manifest["latency"] == {
        "algorithmic_s": 0.49,
        "chunk_s": pytest.approx(0.56),
        "definition": "delay",
    }
    assert manifest["total_bytes"] == sum(file["bytes"] for file in manifest["files"].values())


def test_what_loading_keeps_is_no_part_of_an_artifact(model, artifact, tmp_path) -> None:
    for folder in (model, artifact):
        (folder / ".prepared").mkdir()
        (folder / ".prepared" / "encoder.json").write_text("{}")
    check_files(artifact, load_manifest(artifact))
    (tmp_path / "again").mkdir()
    bundle_native(model, tmp_path / "again", FACTS)
    assert load_manifest(tmp_path / "again") == load_manifest(artifact)
    assert not (tmp_path / "again" / ".prepared").exists()


NUMBERS = st.floats(allow_nan=False, allow_infinity=False)


@pytest.mark.slow
@given(
    st.dictionaries(
        st.text(),
        st.recursive(
            st.none() | st.booleans() | st.integers() | NUMBERS | st.text(),
            lambda inner: (
                st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3)
            ),
            max_leaves=10,
        ),
    )
)
def test_the_seal_survives_the_disk(manifest) -> None:
    assert seal_problem(json.loads(json.dumps(sealed(manifest), indent=2))) is None


def test_the_seal_breaks_with_any_edit(artifact) -> None:
    manifest = load_manifest(artifact)
    assert seal_problem(manifest) is None
    assert seal_problem(dict(reversed(manifest.items()))) is None
    for key in manifest:
        assert seal_problem(manifest | {key: "edited"}) == "was edited after it was written"
    assert seal_problem(manifest | {"more": 1}) is not None
    del manifest["digest"]
    assert seal_problem(manifest) == "has no digest of its own, because an older version wrote it"
    assert seal_problem(sealed(manifest)) is None


def test_the_card_says_what_was_measured(artifact) -> None:
    card = (artifact / "README.md").read_text()
    assert card.startswith("# toy\n")
    assert "0 of 42" in card
    assert "25.00%" in card


def test_a_float_graph_lists_what_a_quantized_one_does(model) -> None:
    graphs = float_graphs(model, StreamingSettings.load(model))
    assert graphs["joint"]["parameters"] == 36
    assert graphs["joint"]["bits_per_weight"] == 32.0
    weight, bias = graphs["encoder"]["tensors"]
    assert bias["name"] == "bias"
    assert weight == {
        "name": "weight",
        "shape": [8, 4],
        "bits": 32,
        "block_size": None,
        "bytes": 128,
        "relative_error": 0.0,
    }


def test_copies_have_one_link(model, tmp_path) -> None:
    content = np.random.default_rng(0).bytes(3_000_000)
    (tmp_path / "source").write_bytes(content)
    os.link(tmp_path / "source", tmp_path / "second name")
    copy_file(tmp_path / "source", tmp_path / "target")
    assert (tmp_path / "target").read_bytes() == content
    assert (tmp_path / "target").stat().st_nlink == 1


def test_copying_falls_back_where_the_kernel_cannot(tmp_path, monkeypatch) -> None:
    def refuse(*_):
        raise OSError(18, "cross-device")

    monkeypatch.setattr(os, "copy_file_range", refuse)
    (tmp_path / "source").write_bytes(b"content")
    copy_file(tmp_path / "source", tmp_path / "target")
    assert (tmp_path / "target").read_bytes() == b"content"


def test_a_full_disk_is_not_hidden(tmp_path, monkeypatch) -> None:
    def refuse(*_):
        raise OSError(28, "no space left")

    monkeypatch.setattr(os, "copy_file_range", refuse)
    (tmp_path / "source").write_bytes(b"content")
    with pytest.raises(OSError, match="no space"):
        copy_file(tmp_path / "source", tmp_path / "target")


def test_a_changed_file_is_named(model, tmp_path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    with pytest.raises(InputError, match=r"tokens\.txt: its content is not what the store wrote"):
        bundle_native(model, out, FACTS, {"tokens.txt": "0" * 64})
    assert not (out / "manifest.json").exists()


def test_a_missing_file_is_named(model, tmp_path) -> None:
    (model / "joint.onnx").unlink()
    with pytest.raises(InputError, match=r"joint\.onnx missing"):
        bundle_native(model, tmp_path, FACTS)


def test_damage_is_told_file_by_file(artifact) -> None:
    manifest = load_manifest(artifact)
    (artifact / "tokens.txt").write_text("b 0\n")
    (artifact / "joint.onnx").unlink()
    (artifact / "tokenizer.model").write_bytes(b"longer than it was")
    with pytest.raises(InputError) as caught:
        check_files(artifact, manifest)
    text = str(caught.value)
    assert "tokens.txt: found sha256" in text
    assert "joint.onnx: is missing" in text
    assert "tokenizer.model: found 18 bytes" in text


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (None, "found no manifest"),
        ("{", "is not JSON"),
        ('{"schema": 7}', "schema: found 7, accepted: 1"),
        ("[]", "schema: found None"),
        ('{"schema": 1}', "missing recipe, source"),
    ],
)
def test_a_manifest_that_is_none(tmp_path, content, expected) -> None:
    if content is not None:
        (tmp_path / "manifest.json").write_text(content)
    with pytest.raises(InputError, match=expected):
        load_manifest(tmp_path)


def test_names_that_lead_out_of_the_artifact(artifact) -> None:
    manifest = load_manifest(artifact)
    manifest["files"]["../secret"] = manifest["files"]["tokens.txt"]
    (artifact / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(InputError, match=r"found '\.\./secret', accepted: names without a folder"):
        load_manifest(artifact)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda m: m.update(files=None), "files: found None, accepted: an object"),
        (lambda m: m.update(files={}), "files: found an object of 0"),
        (lambda m: m.update(files=[1]), "files: found a list of 1"),
        (lambda m: m.update(files=3), "files: found 3"),
        (lambda m: m["files"].update(a=None), r"files\.a: found None"),
        (lambda m: m["files"]["tokens.txt"].pop("sha256"), r"files\.tokens\.txt: missing sha256"),
        (
            lambda m: m["files"]["tokens.txt"].update(sha256="xyz"),
            r"files\.tokens\.txt\.sha256: found 'xyz', accepted: 64 hexadecimal digits",
        ),
        (lambda m: m["files"]["tokens.txt"].update(bytes=-1), r"bytes: found -1, accepted"),
        (lambda m: m["files"]["tokens.txt"].update(bytes=True), "bytes: found True"),
        (lambda m: m["files"]["tokens.txt"].update(bytes=10**300), r"bytes: found 10+\.\.\., acc"),
        (lambda m: m["files"].update({"a\0b": {}}), r"files: found 'a\\x00b', accepted: names"),
        (lambda m: m["files"].update({"\x1b[2J": {}}), r"files: found '\\x1b\[2J'"),
        (lambda m: m["files"].update({"n" * 300: {}}), "names without a folder, of at most 200"),
        (lambda m: m["files"].update({"": {}}), "files: found ''"),
        (lambda m: m["files"].update({"..": {}}), r"files: found '\.\.'"),
        (lambda m: m.update(total_bytes=1), "total_bytes: found 1, accepted: .*sum of its files"),
        (lambda m: m.update(parity=None), "parity: found None, accepted: an object"),
        (lambda m: m["parity"].pop("token_errors"), "parity: missing token_errors"),
        (lambda m: m["parity"].update(kl={}), r"parity\.kl: missing mean"),
        (lambda m: m["parity"].update(wer=[]), r"parity\.wer: found a list"),
        (lambda m: m.update(versions={}), "versions: missing quantkit"),
        (lambda m: m.update(versions={"quantkit": 1}), r"versions\.quantkit: found 1"),
        (lambda m: m.update(recipe="toy"), "recipe: found 'toy'"),
        (lambda m: m.update(recipe={}), "recipe: missing name"),
        (lambda m: m.update(source=None), "source: found None"),
        (lambda m: m["source"].update(sha256=None), r"source\.sha256: found None"),
        (lambda m: m.update(graphs={}), "graphs: found an object of 0"),
        (lambda m: m["graphs"]["joint"].update(parameters="many"), r"joint\.parameters: found"),
        (lambda m: m["graphs"]["joint"].update(bits_per_weight=1e9), "from 0 to 64"),
        (lambda m: m["graphs"]["joint"].update(tensors=[{}]), r"tensors\[0\]: missing name"),
        (lambda m: m.update(latency={}), "latency: missing algorithmic_s"),
        (lambda m: m.update(key=None), "key: found None"),
        (lambda m: m.update(schema=True), "schema: found True, accepted: 1"),
        (lambda m: m.update(schema=float("nan")), "found NaN, accepted: finite numbers"),
        (lambda m: m.update(layouts={"genai": 1}), r"layouts\.genai: found 1"),
        (lambda m: m.update(forced=1), "forced: found 1"),
    ],
)
def test_a_malformed_manifest_is_told_by_its_key(artifact, change, expected) -> None:
    path = artifact / "manifest.json"
    manifest = json.loads(path.read_text())
    change(manifest)
    path.write_text(json.dumps(manifest))
    with pytest.raises(InputError, match=rf"manifest\.json: .*{expected}"):
        load_manifest(artifact)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (f"{'[' * 100_000}{']' * 100_000}", "nests deeper than 64 levels"),
        (f'{{"schema": {"9" * 5000}}}', "a number of 5000 digits"),
        ("\udcff", "is not UTF-8"),
    ],
)
def test_json_that_is_none_of_ours(artifact, content, expected) -> None:
    (artifact / "manifest.json").write_text(content, errors="surrogateescape")
    with pytest.raises(InputError, match=expected):
        load_manifest(artifact)


def test_more_keys_may_be_added(artifact) -> None:
    manifest = load_manifest(artifact)
    manifest["later"] = {"any": [1]}
    manifest["parity"]["later"] = None
    (artifact / "manifest.json").write_text(json.dumps(sealed(manifest)))
    check_files(artifact, load_manifest(artifact))


def test_the_seal_is_compared_with_the_files(artifact) -> None:
    manifest = load_manifest(artifact)
    manifest["parity"]["token_errors"] += 1
    with pytest.raises(InputError, match=r"manifest\.json was edited after it was written"):
        check_files(artifact, manifest)
