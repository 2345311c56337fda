"""The contract is what the graphs are; who asks it need not spell a name."""

from __future__ import annotations

import ast
import json
import shutil
from pathlib import Path
from typing import Any

import onnxruntime as ort
import pytest

import quantkit
from quantkit.core.errors import InputError
from quantkit.runtime.contract import GraphKind, Role, paired_states, rings
from quantkit.runtime.settings import StreamingSettings
from quantkit.runtime.transcriber import Transcriber

#: What only the export, the runtime and the bundles spell.
NAMES = {"predictor", "joint", "key_cache"}
#: NeMo's own configuration has a section named `joint`, which these two read.
NEMO = {"nemo/architecture.py", "nemo/loading/configuration.py", "nemo/loading/checkpoint.py"}


def test_the_contract_of_an_export_is_its_graphs(demo_artifact: Path) -> None:
    content = json.loads((demo_artifact / "streaming.json").read_text())
    contract = StreamingSettings.load(demo_artifact).contract
    assert content["contract"] == contract.as_json()
    assert (contract.encoder, contract.decoder) == ("cache-aware", "rnn-t")
    for graph in contract:
        session = ort.InferenceSession(str(demo_artifact / graph.file))
        inputs = {node.name for node in session.get_inputs()}
        outputs = {node.name for node in session.get_outputs()}
        assert inputs == {port.name for port in graph.inputs}
        assert outputs == {port.name for port in graph.outputs}
        assert graph.states == paired_states(inputs, outputs)
        told = content["contract"]["graphs"][graph.name]["inputs"]
        assert {p["name"]: p["next"] for p in told if p["role"] == "state"} == graph.states


def test_roles_lead_to_names(demo_artifact: Path) -> None:
    contract = StreamingSettings.load(demo_artifact).contract
    encoder = contract.graph(GraphKind.ENCODER)
    assert encoder is contract.named("encoder")
    assert encoder.input(Role.FEATURES) == "features"
    assert encoder.output(Role.ENCODED_LENGTH) == "encoded_length"
    assert encoder.input(Role.TOKEN) is None
    assert contract.graph(GraphKind.JOINT).output(Role.LOGITS) == "logits"
    layers = StreamingSettings.load(demo_artifact).encoder.layers
    assert len(rings(encoder.states)) == 2 * layers
    assert len(encoder.states) == 3 * layers + 1


def test_artifacts_of_before_have_none_and_load(demo_artifact: Path, tmp_path: Path) -> None:
    old = shutil.copytree(demo_artifact, tmp_path / "old")
    content = json.loads((old / "streaming.json").read_text())
    del content["contract"]
    (old / "streaming.json").write_text(json.dumps(content))
    assert (
        Transcriber.load(old).settings.contract == Transcriber.load(demo_artifact).settings.contract
    )


def without(contract: dict[str, Any], name: str) -> dict[str, Any]:
    graphs = {key: graph for key, graph in contract["graphs"].items() if key != name}
    return contract | {"graphs": graphs}


def resized(contract: dict[str, Any]) -> dict[str, Any]:
    contract["graphs"]["encoder"]["inputs"][0]["shape"][1] += 1
    return contract


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda contract: [], r"key 'contract' is \[\]; an object with the keys encoder, decoder"),
        (lambda contract: contract | {"more": 1}, "an object with the keys"),
        (lambda contract: contract | {"encoder": "offline"}, "'contract.encoder' is 'offline'; "),
        (lambda contract: contract | {"decoder": "tdt"}, "this quantkit runs 'rnn-t'"),
        (lambda contract: contract | {"graphs": 5}, "not what follows from the other keys: enc"),
        (lambda contract: without(contract, "joint"), "the other keys: joint"),
        (resized, "the other keys: encoder"),
    ],
)
def test_another_contract_is_refused(demo_artifact: Path, change: Any, message: str) -> None:
    content = json.loads((demo_artifact / "streaming.json").read_text())
    content["contract"] = change(content["contract"])
    with pytest.raises(InputError, match=message):
        StreamingSettings.from_dict(content)


def test_no_other_file_spells_a_graph_or_a_cache() -> None:
    package = Path(quantkit.__file__).parent
    spelled = []
    for path in sorted(package.rglob("*.py")):
        name = path.relative_to(package).as_posix()
        if name.startswith(("nemo/export", "runtime/", "bundle/")) or name in NEMO:
            continue
        tree = ast.parse(path.read_text())
        texts = [n for n in ast.walk(tree) if isinstance(n, ast.Constant)]
        spelled += [
            f"{name}:{text.lineno}: {text.value}"
            for text in texts
            if isinstance(text.value, str)
            and len(text.value) < 40
            and any(word in text.value.replace("/", " ").split() for word in NAMES)
        ]
    assert spelled == []
