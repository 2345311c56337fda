"""What a wrong recipe is told."""

from pathlib import Path

import pytest

from quantkit.core.errors import InputError, SettingError
from quantkit.quantize.settings import KQuantSettings
from quantkit.recipe.load import load_recipe, located

GOOD = """schema: 1
name: mine
model:
  source: mine.nemo
  chunk_ms: 160
quantize:
  scheme: kquant
  bits: 4
  rules:
    - {match: "encoder/*", bits: 8}
verify:
  manifest: speech.jsonl
  gates: {token_error_rate: 0.05}
"""


@pytest.fixture
def write(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def write(text: str) -> Path:
        Path("r.yaml").write_text(text)
        return Path("r.yaml")

    return write


def _problems(path: Path, *overrides: str) -> list[str]:
    with pytest.raises(InputError) as caught:
        load_recipe(path, overrides)
    return str(caught.value).splitlines()


def test_a_good_recipe(write) -> None:
    recipe = load_recipe(write(GOOD))
    assert recipe.model.chunk_ms == 160
    assert isinstance(recipe.quantize, KQuantSettings)
    assert recipe.quantize.rules[0].bits == 8
    assert recipe.calibrate is None


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("bits: 4", "bits: 5", "r.yaml:8:3: quantize.bits: found 5, accepted: 2, 4 or 8"),
        ("bits: 4", 'bits: "4"', "r.yaml:8:3: quantize.bits: found '4', accepted: 2, 4 or 8"),
        (
            "bits: 4",
            "block_size: 24",
            "r.yaml:8:3: quantize.block_size: found 24, accepted: 16, 32, 64, 128 or 256",
        ),
        (
            "bits: 8}",
            "bits: 3}",
            "r.yaml:10:28: quantize.rules[0].bits: found 3, accepted: 2, 4 or 8",
        ),
        (
            "scheme: kquant",
            "scheme: magic",
            "r.yaml:7:3: quantize.scheme: found 'magic', accepted: ",
        ),
        (
            "bits: 8}",
            "bits: 2, block_size: 16}",
            "r.yaml:10:7: quantize.rules[0]: 2 bits with block_size 16 and accuracy_level 4",
        ),
        (
            "bits: 4",
            "bits: 2\n  accuracy_level: 1",
            "r.yaml:8:3: quantize.bits: 2 bits with block_size 32 and accuracy_level 1",
        ),
        ("schema: 1", "schema: 2", "r.yaml:1:1: schema: found 2, accepted: 1"),
        (
            "chunk_ms: 160",
            "chunk_ms: 1.5",
            "r.yaml:5:3: model.chunk_ms: found 1.5, accepted: an integer, above 0, at most 60000,",
        ),
        (
            "  manifest: speech.jsonl\n",
            "",
            "r.yaml:11:1: verify.manifest: missing; accepted: a text",
        ),
        (
            "{token_error_rate: 0.05}",
            "{token_error_rate: 5}",
            "r.yaml:13:11: verify.gates.token_error_rate: found 5, accepted: a number, at",
        ),
        (
            "{token_error_rate: 0.05}",
            "{}",
            "r.yaml:13:3: verify.gates: found no gate, accepted: at least one of",
        ),
        (
            "{token_error_rate: 0.05}",
            "{token_error_rate: .nan}",
            "r.yaml:13:11: verify.gates.token_error_rate: found nan, accepted: a number",
        ),
        ("mine.nemo", "hf://a/b", "r.yaml:4:3: model.source: found 'hf://a/b' without a"),
        (
            "mine.nemo",
            "model.onnx",
            "r.yaml:4:3: model.source: found 'model.onnx', accepted: 'demo'",
        ),
        (
            "bits: 4",
            "importance: activation",
            "r.yaml:8:3: quantize.importance: found 'activation' without the speech it needs",
        ),
        (
            "scheme: kquant",
            "scheme: gptq",
            "r.yaml:7:3: quantize.scheme: found 'gptq' without the speech it needs",
        ),
        (
            "bits: 4",
            "equalize: true",
            "r.yaml:8:3: quantize.equalize: found True without the speech it needs",
        ),
        (
            "name: mine",
            "name: Mine!",
            "r.yaml:2:1: name: found 'Mine!', accepted: a text, matching",
        ),
        (
            "{token_error_rate: 0.05}",
            "{kl_mean: .inf}",
            "r.yaml:13:11: verify.gates.kl_mean: found inf, accepted: a number, at least 0, at",
        ),
        (
            "speech.jsonl",
            '"a\\0b.jsonl"',
            "r.yaml:12:3: verify.manifest: found 'a\\x00b.jsonl', accepted: no NUL",
        ),
        (
            "speech.jsonl",
            "a" * 300,
            "r.yaml:12:3: verify.manifest: found 'aaa",
        ),
        (
            "speech.jsonl",
            "a" * 5000,
            "r.yaml:12:3: verify.manifest: found a length of 5000, accepted: at most 4096",
        ),
        ("mine.nemo", "hf://../..@x", "r.yaml:4:3: model.source: found 'hf://../..@x', accepted"),
        ("mine.nemo", "hf://a/b@../c", "r.yaml:4:3: model.source: found 'hf://a/b@../c', accept"),
        ("160", "1" + "0" * 300, "r.yaml:5:3: model.chunk_ms: found 1000"),
        ("  bits: 4", "  kquant: {bits: 9}\n  bits: 5", "r.yaml:9:3: quantize.bits: found 5"),
        ("name: mine", "name: [", "r.yaml:4:9: not valid YAML"),
        ("name: mine", "schema: 1", "r.yaml:2:1: not valid YAML: found duplicate key"),
    ],
)
def test_one_problem(write, old, new, expected) -> None:
    (problem,) = _problems(write(GOOD.replace(old, new)))[:1]
    assert problem.startswith(expected), problem


@pytest.mark.parametrize(
    ("section", "expected"),
    [
        ("{}", "calibrate: found no source, accepted: exactly one of manifest, folder, dataset"),
        (
            "{manifest: a.jsonl, folder: b}",
            "calibrate: found manifest and folder, accepted: exactly one of manifest, folder, data",
        ),
        ("{manifest: 3}", "calibrate.manifest: found 3, accepted: a text"),
        ("{folders: a}", "calibrate.folders: unknown key; accepted: manifest, folder, dataset."),
        ("{dataset: {split: a}}", "calibrate.dataset.name: missing; accepted: a text"),
        (
            "{dataset: {name: a/b}}",
            "calibrate.dataset: found 'a/b' without a revision; a data set of the hub has to be",
        ),
        (
            "{dataset: {name: ./a, revision: main}}",
            "calibrate.dataset: found revision 'main' for the folder './a'",
        ),
        (
            "{dataset: {name: ./a, utterances: 0}}",
            "calibrate.dataset.utterances: found 0, accepted: an integer, above 0",
        ),
    ],
)
def test_speech_comes_from_one_place(write, section, expected) -> None:
    problems = _problems(write(f"{GOOD}calibrate: {section}\n"))
    assert problems[0].startswith("r.yaml:14:")
    assert problems[0].partition(": ")[2].startswith(expected), problems[0]


def test_a_data_set_is_read_by_default_from_its_first_recordings(write) -> None:
    recipe = load_recipe(write(f"{GOOD}calibrate: {{dataset: {{name: a/b, revision: c0ffee}}}}\n"))
    assert recipe.canonical()["calibrate"] == {
        "dataset": {"name": "a/b", "split": "train", "revision": "c0ffee", "utterances": 256}
    }


def test_an_unknown_key_names_the_nearest(write) -> None:
    (problem,) = _problems(write(GOOD.replace("bits: 4", "blok_size: 32")))
    assert problem.startswith("r.yaml:8:3: quantize.blok_size: unknown key; accepted: scheme, ")
    assert problem.endswith("Did you mean 'block_size'?")


def test_a_key_of_another_scheme_is_unknown(write) -> None:
    (problem,) = _problems(write(GOOD.replace("bits: 4", "symmetric: true")))
    assert "quantize.symmetric: unknown key" in problem


MIXED = """schema: 1
name: mine
model: {source: mine.nemo}
calibrate: {manifest: c.jsonl}
quantize:
  scheme: mixed
  base: {scheme: kquant, importance: activation}
  widths:
    by: budget
    megabytes: 5
    choices:
      - {bits: 4, block_size: 32}
verify:
  manifest: speech.jsonl
  gates: {token_error_rate: 0.05}
"""


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            "by: budget",
            "by: size",
            "9:5: quantize.widths.by: found 'size', accepted: 'budget', 'published' or 'rules'",
        ),
        ("bits: 4", "bits: 5", "12:10: quantize.widths.choices[0].bits: found 5, accepted: 2, 4"),
        (
            "bits: 4, block_size: 32",
            "bits: 2, block_size: 16",
            "12:9: quantize.widths.choices[0]: 2 bits with block_size 16 and accuracy_level 4 have",
        ),
        (
            "megabytes: 5",
            "megabytes: 5\n    bits_per_weight: 4",
            "8:3: quantize.widths: accepted: exactly one of bits_per_weight and megabytes",
        ),
        (
            "    megabytes: 5\n",
            "",
            "8:3: quantize.widths: accepted: exactly one of bits_per_weight",
        ),
        ("megabytes: 5", "megabytes: 0", "10:5: quantize.widths.megabytes: found 0, accepted: a"),
        (
            "by: budget\n    megabytes: 5\n    choices:\n      - {bits: 4, block_size: 32}",
            "by: rules",
            "8:3: quantize.widths.rules: missing; accepted: a list",
        ),
        (
            "importance: activation",
            "rules: [{match: x, bits: 8}]",
            "5:1: quantize: base.rules: accepted here: widths: {by: rules, rules: [...]}",
        ),
        ("scheme: kquant", "scheme: mixed", "7:10: quantize.base.scheme: found 'mixed', accepted"),
        (
            "calibrate: {manifest: c.jsonl}\n",
            "",
            "6:26: quantize.base.importance: found 'activation' without the speech it needs",
        ),
        (
            "calibrate: {manifest: c.jsonl}\nquantize:\n  scheme: mixed\n  base: {scheme: kquant, "
            "importance: activation}",
            "quantize:\n  scheme: mixed\n  base: {scheme: kquant}",
            "8:5: quantize.widths.by: found 'budget' without the speech that damage is measured on",
        ),
    ],
)
def test_one_problem_of_mixed_precision(write, old, new, expected) -> None:
    assert old in MIXED
    (problem,) = _problems(write(MIXED.replace(old, new)))[:1]
    assert problem.startswith(f"r.yaml:{expected}"), problem


def test_all_problems_at_once(write) -> None:
    text = GOOD.replace("bits: 4", "bits: 5").replace("name: mine", "name: 7")
    assert len(_problems(write(text), "model.chunk_ms=x")) == 3


def test_what_is_no_recipe(write, tmp_path) -> None:
    assert "found a list, accepted: a mapping" in _problems(write("- 1\n"))[0]
    assert "found nothing, accepted" in _problems(write(""))[0]
    assert "No such file" in _problems(Path("gone.yaml"))[0]
    (tmp_path / "r.yaml").write_bytes(b"\xff\xfe\0")
    assert "not UTF-8" in _problems(Path("r.yaml"))[0]


def test_of_many_problems_some_are_told_and_the_others_counted(write) -> None:
    unknown = "".join(f"key{number}: 1\n" for number in range(1000))
    problems = _problems(write(GOOD + unknown))
    assert problems[0].startswith("r.yaml:14:1: key0: unknown key")
    assert problems[-1] == "and 980 more problems"


def test_overrides(write) -> None:
    path = write(GOOD)
    recipe = load_recipe(
        path,
        ["model.chunk_ms=560", "quantize.rules.0.bits=4", "calibrate.manifest=c.jsonl", "name=b"],
    )
    assert recipe.model.chunk_ms == 560
    assert isinstance(recipe.quantize, KQuantSettings)
    assert recipe.quantize.rules[0].bits == 4
    assert recipe.calibrate is not None
    assert recipe.name == "b"
    assert load_recipe(path, ["quantize=null"]).quantize is None


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("quantize.bits=5", "--set quantize.bits=5: quantize.bits: found 5, accepted: 2, 4 or 8"),
        ("quantize.bit=4", "--set quantize.bit=4: quantize.bit: unknown key"),
        ("quantize={scheme: rtn, bits: 3}", "--set quantize={scheme: rtn, bits: 3}: quantize.bits"),
        ("name", "--set name: accepted: KEY=VALUE"),
        ("name.x=1", "--set name.x=1: name is 'mine', which has no key 'x'"),
        ("quantize.rules.4.bits=8", "--set quantize.rules.4.bits=8: quantize.rules is a list of 1"),
        ("name=[", "--set name=[:1:2: not valid YAML"),
        ("a.b.c=2001-99-99", "--set a.b.c=2001-99-99: a: unknown key"),
        (
            "quantize.rules.x=1",
            "--set quantize.rules.x=1: quantize.rules is a list of 1 items, not",
        ),
        ("quantize.0.x=1", "--set quantize.0.x=1: quantize.0: unknown key"),
        ("x=&a [*a]", "--set x=&a [*a]:1:5: not valid YAML: found alias 'a' inside of what it"),
        ("verify.gates.kl_mean=.nan", "--set verify.gates.kl_mean=.nan: verify.gates.kl_mean: fou"),
        (".".join("a" * 99) + "=1", "--set a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a"),
        (f"quantize.rules.{'9' * 5000}.bits=8", "--set quantize.rules.9999"),
        (f"name={'9' * 5000}", "--set name=9999"),
        ("name=\x1b", "--set name=\\x1b:1:1: not valid YAML: found the character '\\x1b'"),
    ],
)
def test_wrong_overrides_name_themselves(write, override, expected) -> None:
    (problem,) = _problems(write(GOOD), override)
    assert problem.startswith(expected), problem


def test_overrides_are_bounded_too(write) -> None:
    path = write(GOOD)
    assert "--set: found 101 of" in _problems(path, *["name=a"] * 101)[0]
    assert "--set: found 1 of 70005 characters" in _problems(path, f"name={'a' * 70_000}")[0]


def test_an_override_changes_one_user_of_an_anchor(write) -> None:
    path = write(GOOD.replace("bits: 8}", "bits: 8}\n    - &two {match: b, bits: 2}\n    - *two"))
    recipe = load_recipe(path, ["quantize.rules.2.bits=8"])
    assert isinstance(recipe.quantize, KQuantSettings)
    assert [rule.bits for rule in recipe.quantize.rules] == [8, 2, 8]


def test_what_only_a_later_stage_sees_gets_its_place(tmp_path) -> None:
    recipe = tmp_path / "late.yaml"
    recipe.write_text("schema: 1\nquantize:\n  rules:\n    - bits: 8\n      match: nothing*\n")
    with pytest.raises(InputError) as caught, located(recipe):
        raise SettingError("quantize.rules[0].match", "'nothing*' matches none")
    assert str(caught.value) == (f"{recipe}:5:7: quantize.rules[0].match: 'nothing*' matches none")
    overridden = "model.chunk_ms=320"
    told = f"--set {overridden}: model.chunk_ms: found 320"
    with pytest.raises(InputError, match=told), located(recipe, [overridden]):
        raise SettingError("model.chunk_ms", "found 320")
