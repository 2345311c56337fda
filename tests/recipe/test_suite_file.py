"""What suite files are, and what wrong ones are told."""

import json
from pathlib import Path

import pytest

from quantkit.core.errors import InputError
from quantkit.recipe.suite_file import load_suite, suite_schema

ROOT = Path(__file__).parents[2]
SHIPPED = sorted((ROOT / "recipes" / "suites").glob("*.yaml"))
GOOD = """schema: 1
name: mine
language: en
sets:
  ami: {manifest: a.jsonl, utterances: 100}
  hub:
    dataset: {name: a/b, split: test, revision: main, text: said}
modes:
  - {mode: offline, full_context: true}
gates:
  - {measure: wer_difference, set: ami, limit: 0.02, confidence: 0.95}
"""


@pytest.fixture
def write(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def write(text: str) -> Path:
        Path("s.yaml").write_text(text)
        return Path("s.yaml")

    return write


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_a_shipped_suite(path) -> None:
    suite = load_suite(path)
    assert suite.name == path.stem
    assert suite.gates


def test_the_leaderboards_sets() -> None:
    suite = load_suite(ROOT / "recipes" / "suites" / "open-asr.yaml")
    sources = [one.dataset for one in suite.sets.values() if one.dataset]
    assert len(sources) == len(suite.sets) == 8
    assert {source.name for source in sources} == {"hf-audio/esb-datasets-test-only-sorted"}
    assert [(source.config, source.split) for source in sources[2:5]] == [
        ("gigaspeech", "test"),
        ("librispeech", "test.clean"),
        ("librispeech", "test.other"),
    ]


def test_a_good_suite(write) -> None:
    suite = load_suite(write(GOOD))
    assert suite.sets["ami"].utterances == 100
    source = suite.sets["hub"].dataset
    assert source is not None
    assert (source.text, source.id, source.streaming) == ("said", None, True)
    assert (suite.distributions, suite.long_form_s) == (64, None)
    assert suite.gates[0].confidence == 0.95
    assert suite.regression.wer == 0.002


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("language: en", "language: de", "s.yaml:3:1: language: found 'de', accepted: 'en'"),
        ("ami: {", "AMI: {", "s.yaml:5:3: sets.AMI: found the name 'AMI', accepted: lower-case"),
        ("  ami: {", "  long-form: {", "s.yaml:5:3: sets.long-form: 'long-form' is the name of"),
        (
            "utterances: 100",
            "folder: b",
            "s.yaml:5:3: sets.ami: found manifest and folder, accepted: exactly one of manifest",
        ),
        (
            ", text: said",
            ", txt: said",
            "s.yaml:7:55: sets.hub.dataset.txt: unknown key; accepted: name, config, split, "
            "revision, text, id, language, streaming. Did you mean 'text'?",
        ),
        (
            ", text: said",
            "",
            "s.yaml:7:5: sets.hub.dataset.text: missing; accepted: a text (the column with",
        ),
        (
            ", revision: main",
            "",
            "s.yaml:7:5: sets.hub.dataset: found 'a/b' without a revision; a data set of the hub",
        ),
        ("full_context: true", "chunk_ms: 80", "s.yaml:9:5: modes[0]: found chunk_ms 80 with"),
        ("offline,", "chunked,", "s.yaml:9:5: modes[0]: found mode 'chunked' without chunk_ms"),
        ("offline,", "chunked, chunk_ms: 80,", "s.yaml:9:5: modes[0]: found full_context with"),
        (
            "set: ami",
            "set: amy",
            "s.yaml:11:31: gates[0].set: found 'amy', accepted: ami, hub. Did you mean 'ami'?",
        ),
        ("wer_difference", "kl_mean", "s.yaml:11:5: gates[0]: found set 'ami' with measure 'kl"),
        (
            "wer_difference, set: ami",
            "token_exact_utterances",
            "s.yaml:11:5: gates[0]: found confidence 0.95 with measure 'token_exact_utterances'",
        ),
        ("0.02", "1.5", "s.yaml:11:5: gates[0]: found limit 1.5, accepted for 'wer_difference'"),
        ("0.95", "0.4", "s.yaml:11:54: gates[0].confidence: found 0.4, accepted: a number, above"),
    ],
)
def test_a_wrong_suite(write, old, new, expected) -> None:
    assert old in GOOD
    with pytest.raises(InputError) as caught:
        load_suite(write(GOOD.replace(old, new)))
    assert any(line.startswith(expected) for line in str(caught.value).splitlines()), caught.value


@pytest.mark.parametrize(
    ("sets", "expected"),
    [
        ("{}", "s.yaml:4:1: sets: found no set, accepted: at least one"),
        ("3", "s.yaml:4:1: sets: found 3, accepted: a mapping of names"),
    ],
)
def test_a_suite_without_sets(write, sets, expected) -> None:
    text = f"schema: 1\nname: x\nlanguage: en\nsets: {sets}\n"
    with pytest.raises(InputError) as caught:
        load_suite(write(text))
    assert str(caught.value) == expected


def test_equal_modes(write) -> None:
    twice = "\n  - {mode: offline, full_context: true}" * 2
    with pytest.raises(InputError, match=r"s.yaml:8:1: modes: found item 1 twice"):
        load_suite(write(GOOD.replace("\n  - {mode: offline, full_context: true}", twice)))


def test_merged_keys_are_placed_where_they_are_merged_in(write) -> None:
    text = """schema: 1
name: x
language: en
sets:
  one: {dataset: &shared {name: a/b, split: test, revision: main, text: t}}
  two: {dataset: {<<: *shared, streaming: 3}}
  three: {dataset: {<<: *shared, split: other}}
"""
    with pytest.raises(InputError) as caught:
        load_suite(write(text))
    assert str(caught.value).startswith("s.yaml:6:32: sets.two.dataset.streaming: found 3")
    suite = load_suite(write(text.replace(", streaming: 3", "")))
    sources = [one.dataset for one in suite.sets.values() if one.dataset]
    assert [(one.name, one.split) for one in sources] == [
        ("a/b", "test"),
        ("a/b", "test"),
        ("a/b", "other"),
    ]


def test_a_manifest_or_folder_is_a_suite(tmp_path) -> None:
    folder = tmp_path / "My Calls"
    folder.mkdir()
    suite = load_suite(folder)
    assert (suite.name, list(suite.sets), suite.sets["my-calls"].folder) == (
        "my-calls",
        ["my-calls"],
        str(folder),
    )
    assert list(load_suite(folder / "manifest.jsonl").sets) == ["my-calls"]
    assert list(load_suite(folder / "Held Out.jsonl").sets) == ["held-out"]
    assert list(load_suite(folder / "long-form.jsonl").sets) == ["long-form-speech"]
    assert list(load_suite(folder / f"{'x' * 200}.jsonl").sets) == ["x" * 90]


def test_what_is_no_suite(tmp_path) -> None:
    with pytest.raises(InputError, match=r"a\.wav: accepted as a suite: a \.yaml file, a \.jsonl"):
        load_suite(tmp_path / "a.wav")
    with pytest.raises(InputError, match=r"gone\.yaml: cannot read the suite: No such file"):
        load_suite(tmp_path / "gone.yaml")


def test_the_schema_is_json() -> None:
    schema = suite_schema()
    assert json.loads(json.dumps(schema))["required"] == ["schema", "name", "language", "sets"]
