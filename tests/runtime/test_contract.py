from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import quantkit
from quantkit.core.errors import InputError
from quantkit.runtime.settings import StreamingSettings
from quantkit.runtime.transcriber import Transcriber

Content = dict[str, Any]

#: Names that only the contract, what writes it and the layouts of other runtimes may spell.
SPELLED = re.compile(r"(predictor|joint)(\.onnx.*|/.*)?|(key|value|conv)_cache.*")
ROOMS_OF_NAMES = ("runtime", "bundle", "nemo")


@pytest.fixture
def content(streaming_content: Content) -> Content:
    settings = StreamingSettings.from_dict(streaming_content)
    told: Content = json.loads(json.dumps(settings.to_dict()))
    return told


def test_the_contract_adds_one_key_and_reads_back(
    streaming_content: Content, content: Content
) -> None:
    assert {k: v for k, v in content.items() if k != "contract"} == streaming_content
    old, new = (StreamingSettings.from_dict(c) for c in (streaming_content, content))
    assert new == old


def test_roles_find_graphs_and_states(content: Content) -> None:
    contract = StreamingSettings.from_dict(content).contract
    assert contract.names == ("encoder", "predictor", "joint")
    assert [g.name for g in (contract.encoder, contract.predictor, contract.joint)] == [
        *contract.names
    ]
    assert [graph.runs for graph in contract.graphs] == ["chunk", "token", "decision"]
    assert contract.predictor.states == {"hidden": "hidden_next", "cell": "cell_next"}
    rings = ["key_cache_0", "value_cache_0", "key_cache_1", "value_cache_1"]
    assert contract.encoder.inputs_of("ring") == rings


def _rename(contract: Content, old: str, new: str) -> None:
    for graph in contract["graphs"]:
        for port in graph["inputs"] + graph["outputs"]:
            port |= {key: new for key in ("name", "next") if port.get(key) == old}


def test_names_are_free(content: Content) -> None:
    _rename(content["contract"], "key_cache_0_next", "following")
    content["contract"]["graphs"][1]["file"] = "network.onnx"
    contract = StreamingSettings.from_dict(content).contract
    assert contract.encoder.states["key_cache_0"] == "following"
    assert contract.predictor.name == "network"


def test_an_artifact_with_its_contract_says_the_same(
    tiny_artifact: Path, tmp_path: Path, speech_like: Any
) -> None:
    for path in tiny_artifact.iterdir():
        if path.is_file():
            (tmp_path / path.name).write_bytes(path.read_bytes())
    told = StreamingSettings.load(tmp_path).to_dict()
    told = json.loads(json.dumps(told))
    told["contract"]["graphs"][2]["file"] = "last.onnx"
    (tmp_path / "joint.onnx").rename(tmp_path / "last.onnx")
    (tmp_path / "streaming.json").write_text(json.dumps(told))
    heard = []
    for folder in (tiny_artifact, tmp_path):
        stream = Transcriber.load(folder, 1).stream()
        heard.append([*stream.push(speech_like), *stream.flush()])
    assert heard[0] == heard[1]
    assert heard[0]


def graph(content: Content, index: int = 0) -> Content:
    found: Content = content["contract"]["graphs"][index]
    return found


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.update(contract=None), "contract: found None, accepted: an object"),
        (lambda c: c["contract"].pop("graphs"), "contract: missing graphs"),
        (
            lambda c: c["contract"].update(encoder_kind="offline"),
            r"contract\.encoder_kind: found 'offline', accepted: cache-aware",
        ),
        (
            lambda c: c["contract"].update(decoder_kind=["rnnt"]),
            r"contract\.decoder_kind: found a list of 1, accepted: rnnt",
        ),
        (lambda c: c["contract"]["graphs"].pop(), r"contract\.graphs: found 2, accepted: 3 graphs"),
        (
            lambda c: graph(c).update(file="../encoder.onnx"),
            r"graphs\[0\]\.file: found '\.\./encoder\.onnx', accepted: names without a folder",
        ),
        (lambda c: graph(c).update(file="tokens.txt"), r"accepted: a name that ends in \.onnx"),
        (lambda c: graph(c).update(file="joint.onnx"), "found 'joint.onnx' twice"),
        (lambda c: graph(c).update(runs="token"), r"runs: found 'token', accepted: 'chunk'"),
        (lambda c: graph(c)["inputs"].pop(), r"inputs: found 8, accepted: 9 by the sizes"),
        (
            lambda c: graph(c)["inputs"][0]["shape"].append(3),
            r"inputs\[0\]: found \('features', 'float32', .*accepted: \('features'",
        ),
        (lambda c: graph(c)["inputs"][0].update(shape=[-1]), r"shape\[0\]: found -1"),
        (lambda c: graph(c)["inputs"][0].update(shape=["rows"]), r"shape\[0\]: found 'rows'"),
        (lambda c: graph(c)["inputs"][0].update(role="sound"), "role: found 'sound', accepted"),
        (lambda c: graph(c)["inputs"][0].update(next="encoded"), "a state"),
        (lambda c: graph(c)["inputs"][0].update(name="length"), "found 'length' twice"),
        (
            lambda c: graph(c)["inputs"][3].update(next="absent"),
            r"inputs\[3\]\.next: found 'absent', accepted: an output that is \('ring'",
        ),
        (lambda c: graph(c)["inputs"][3].update(next="value_cache_0_next"), "twice"),
        (lambda c: graph(c)["inputs"][3].update(next=None), r"next: found None, accepted: a text"),
    ],
)
def test_a_hostile_contract_is_refused(
    content: Content, change: Callable[[Content], object], message: str
) -> None:
    change(content)
    with pytest.raises(InputError, match=message) as caught:
        StreamingSettings.from_dict(content, Path("a/streaming.json"))
    assert str(caught.value).startswith("a/streaming.json: contract")


def _spelled(path: Path) -> list[str]:
    """Graph and cache names among a module's strings, docstrings excluded."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    return [
        f"{path}:{node.lineno}: {node.value!r}"
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
        if id(node) not in docstrings and SPELLED.fullmatch(node.value)
    ]


def test_graphs_and_caches_are_named_in_the_contract_only() -> None:
    """NeMo is left out: its configurations have keys of these names."""
    package = Path(quantkit.__file__).parent
    files = [
        path
        for path in package.rglob("*.py")
        if path.relative_to(package).parts[0] not in ROOMS_OF_NAMES
    ]
    assert len(files) > 100
    assert [line for path in files for line in _spelled(path)] == []
