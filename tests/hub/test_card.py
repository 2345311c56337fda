"""What the model page says."""

import json

import pytest
from huggingface_hub import ModelCard

from tests.hub.conftest import RECIPE, make_artifact
from tests.hub.hub import Fault

SOURCE = "hf://nvidia/streaming@" + "a" * 40
OTHER = {
    "license": "other",
    "license_name": "nvidia-open-model-license",
    "license_link": "https://example.org/license",
}


def _rate(wer, **more):
    numbers = {"wer": wer, "low": wer - 0.01, "high": wer + 0.02, "delta": 0.003}
    ends = {"delta_low": -0.001, "delta_high": 0.007, "p_value": 0.2, "minimum_detectable": 0.004}
    return numbers | ends | more


def _counts():
    numbers = ("words", "substitutions", "deletions", "insertions")
    return {"utterances": 1200} | dict.fromkeys(numbers, 3000)


@pytest.fixture
def report(artifact, tmp_path):
    """A report of a comparison in which the artifact took part; `change` makes it another."""
    manifest = json.loads((artifact / "manifest.json").read_text())
    scheme = {
        "name": "toy-int4",
        "role": "scheme",
        "mode": "streaming",
        "chunk_ms": 560,
        "recipe": "toy-int4",
        "total_bytes": manifest["total_bytes"],
        "bits_per_weight": 4.5,
        "latency_s": 0.49,
        "sets": {"ami": _rate(0.1234, **_counts()), "own": _rate(0.2, **_counts())},
        "macro": _rate(0.1617),
        "by_length": [],
        "parity": None,
        "chain": [],
        "long_form": None,
        "layers": [],
        "bench": None,
    }
    gate = {
        "name": "macro_delta",
        "scheme": "toy-int4",
        "passed": True,
        "value": 0.007,
        "limit": 0.01,
        "at_least": False,
        "margin": 0.003,
        "confidence": 0.95,
        "evidence": "schemes.toy-int4.macro",
    }
    sets = {"utterances": 1200, "words": 3000, "duration_s": 9.0, "digest": "d", "excluded": []}
    document = {
        "schema": 1,
        "versions": {},
        "command": "quantkit compare toy.yaml",
        "checkpoint": f"demo, sha256 {'5' * 64}",
        "suite": {
            "name": "suite",
            "language": "en",
            "normalizer": "whisper-normalizer 0.1.12",
            "sets": {
                "ami": sets | {"source": "edinburghcstr/ami (ihm, test)", "revision": "b" * 40},
                "own": sets | {"source": "speech.jsonl", "revision": None},
            },
            "problems": [],
        },
        "statistics": {"confidence": 0.95, "resamples": 1000, "seed": 0, "power": 0.8},
        "reference": "PyTorch",
        "schemes": [scheme],
        "gates": [gate],
        "worst": [],
    }

    def write(change=lambda _: None):
        change(document)
        path = tmp_path / "report.json"
        path.write_text(json.dumps(document))
        return path

    return write


def _card(run, *words) -> ModelCard:
    ran = run("publish", *words, "--dry-run")
    assert ran.code == 0, ran.err
    return ModelCard(ran.out[ran.out.index("---\n") :])


def test_the_card_of_a_compared_artifact(artifact, hub, run, report) -> None:
    card = _card(run, artifact, "--repo", "org/toy", "--report", report())
    data = card.data.to_dict()
    assert data["license"] == "apache-2.0"
    assert data["pipeline_tag"] == "automatic-speech-recognition"
    assert data["language"] == "en"
    assert "base_model" not in data
    first, second = card.data["eval_results"]
    assert (first.dataset_type, first.dataset_config) == ("edinburghcstr/ami", "ami")
    assert first.dataset_revision == "b" * 40
    assert (first.metric_type, first.metric_value) == ("wer", 12.34)
    assert first.metric_args["low"] == 11.34
    assert (second.dataset_type, second.metric_value) == ("speech.jsonl", 20.0)

    text = card.text
    row = "| ami | 1,200 | 3,000 | 12.34 (11.34 to 14.34) | 12.04 | +0.30 (-0.10 to +0.70) |"
    assert row in text
    assert "| average |  |  | 16.17 (15.17 to 18.17) | 15.87 |" in text
    assert "95% intervals" in text
    assert "algorithmic latency 490 ms (delay)" in text
    assert "| token errors | 1 of 42 |" in text
    assert "| encoder | 700,000 | 32.00 | 2.8 |" in text
    assert "quantkit transcribe hf://org/toy speech.wav" in text
    assert "quantkit bundle hf://org/toy --format sherpa" in text
    assert "  block_size: 32\n" in text
    assert "License, as of the source model: apache-2.0." in text
    assert "--force" not in text


def test_a_gate_of_the_comparison_counts(artifact, hub, run, report) -> None:
    path = report(lambda document: document["gates"][0].update(passed=False, value=0.02))
    ran = run("publish", artifact, "--repo", "org/toy", "--report", path)
    assert ran.code == 1
    assert "gate of the comparison missed: macro_delta: measured 0.02, accepted at most" in ran.err
    card = _card(run, artifact, "--repo", "org/toy", "--report", path, "--force")
    assert "> - gate of the comparison missed: macro_delta" in card.text


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda d: d["schemes"][0].update(recipe="toy-int8"), "found recipes toy-int8, accepted"),
        (lambda d: d["schemes"][0].update(chunk_ms=80), "in chunks of 560 ms"),
        (lambda d: d["schemes"][0].update(total_bytes=7), "another build was compared"),
        (lambda d: d.update(checkpoint="demo, sha256 77"), "found a comparison of the checkpoint"),
        (lambda d: d.update(schema=2), "schema: Input should be 1"),
    ],
)
def test_a_report_of_something_else(artifact, hub, run, report, change, expected) -> None:
    ran = run("publish", artifact, "--repo", "org/toy", "--report", report(change), "--dry-run")
    assert ran.code == 2
    assert expected in ran.err
    assert "report.json" in ran.err


@pytest.mark.parametrize("content", [None, "", "[]", "{"])
def test_a_report_that_is_none(artifact, hub, run, tmp_path, content) -> None:
    if content is not None:
        (tmp_path / "report.json").write_text(content)
    report = tmp_path / "report.json"
    ran = run("publish", artifact, "--repo", "org/toy", "--report", report, "--dry-run")
    assert ran.code == 2
    assert f"{report}:" in ran.err


def _made_from(source, toy_model, tmp_path, **facts):
    recipe = RECIPE | {"model": {"source": source, "chunk_ms": 560}}
    facts = {"name": source.partition("@")[0], "revision": None, "sha256": "5" * 64} | facts
    return make_artifact(toy_model, tmp_path / "made", recipe=recipe, source=facts)


def test_the_license_of_a_source_on_the_hub(toy_model, hub, run, tmp_path) -> None:
    made = _made_from(SOURCE, toy_model, tmp_path, revision="a" * 40)
    repo = hub.add("nvidia/streaming", card=OTHER)
    repo.commits["a" * 40] = {}
    assert run("publish", made, "--repo", "org/toy").code == 0
    card = ModelCard(hub.content("org/toy")["README.md"].decode())
    data = card.data.to_dict()
    assert {key: data[key] for key in OTHER} == OTHER
    assert data["base_model"] == "nvidia/streaming"
    assert data["base_model_relation"] == "quantized"
    assert f"from `hf://nvidia/streaming` at {'a' * 40}" in card.text
    assert "[nvidia-open-model-license](https://example.org/license)" in card.text

    ran = run("publish", made, "--repo", "org/toy", "--license", "mit")
    assert ran.code == 2
    assert "--license: found mit, accepted: other" in ran.err


def test_a_source_on_the_hub_is_not_asked_in_a_dry_run(toy_model, hub, run, tmp_path) -> None:
    made = _made_from(SOURCE, toy_model, tmp_path)
    ran = run("publish", made, "--repo", "org/toy", "--dry-run")
    assert ran.code == 0
    assert hub.requests == []
    assert "license" not in ModelCard(ran.out[ran.out.index("---\n") :]).data.to_dict()
    assert "asked for when publishing" in ran.err


def test_a_source_on_the_hub_without_a_license(toy_model, hub, run, tmp_path) -> None:
    made = _made_from(SOURCE, toy_model, tmp_path)
    repo = hub.add("nvidia/streaming")
    repo.commits["a" * 40] = {}
    ran = run("publish", made, "--repo", "org/toy")
    assert ran.code == 2
    assert "its model card names no license" in ran.err
    assert "org/toy" not in hub.repos
    assert run("publish", made, "--repo", "org/toy", "--license", "mit").code == 0


def test_a_source_on_the_hub_that_may_not_be_seen(toy_model, hub, run, tmp_path) -> None:
    made = _made_from(SOURCE, toy_model, tmp_path)
    hub.faults.append(Fault("GET .*nvidia", 403, message="gated"))
    ran = run("publish", made, "--repo", "org/toy")
    assert ran.code == 2
    assert f"the license of {SOURCE}: " in ran.err


def test_the_license_of_a_file_has_to_be_given(toy_model, hub, run, tmp_path) -> None:
    made = _made_from("own.nemo", toy_model, tmp_path)
    ran = run("publish", made, "--repo", "org/toy", "--dry-run")
    assert ran.code == 2
    assert "--license: the license of a .nemo file is not known" in ran.err
    card = _card(run, made, "--repo", "org/toy", "--license", "cc-by-4.0")
    assert card.data["license"] == "cc-by-4.0"


def test_the_demos_license_is_that_of_its_card(demo_checkpoint, artifact, hub, run) -> None:
    assert "| Licence | Apache-2.0," in demo_checkpoint.with_name("MODEL_CARD.md").read_text()
    ran = run("publish", artifact, "--repo", "org/toy", "--license", "mit", "--dry-run")
    assert ran.code == 2
    assert "accepted: apache-2.0, the license of the demo model" in ran.err
