"""What is kept is read, what is missing is evaluated, and nothing else."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from quantkit.core.errors import InputError
from quantkit.core.progress import Silent
from quantkit.evaluate.evaluation import evaluate
from quantkit.evaluate.results import Results
from quantkit.evaluate.workers import Workers
from tests.evaluate.conftest import graph_parts, graph_system, tree

pytestmark = pytest.mark.slow

ALONE = Workers()


def test_exact_graphs_say_what_pytorch_says(undisturbed, speech) -> None:
    records = undisturbed[1]
    for one, heard, exact in zip(records["PyTorch"], speech, records["fp32"], strict=True):
        assert one.utterance == exact.utterance == heard.digest
        assert (one.tokens, one.frames, one.words) == (exact.tokens, exact.frames, exact.words)
        assert one.divergence is None
        assert (exact.divergence is not None) == heard.deep
        assert exact.divergence is None or max(exact.divergence.kl) < 1e-5


def test_what_is_kept_is_not_evaluated_again(undisturbed, systems, speech, tmp_path) -> None:
    results, records = undisturbed
    unreadable = [replace(one, audio=tmp_path / "gone.flac") for one in speech]
    before = tree(results)
    assert evaluate(systems, unreadable, results, ALONE, Silent()) == records
    assert tree(results) == before


def test_only_what_is_new_is_evaluated(nemo_done, undisturbed, fp32, int4, speech) -> None:
    first, records = speech[:5], undisturbed[1]
    evaluate([fp32], first, nemo_done, ALONE, Silent())
    before = tree(nemo_done)
    gone = [replace(one, audio=Path("gone.flac")) for one in first]

    found = evaluate([fp32], [*gone, *speech[5:]], nemo_done, ALONE, Silent())
    assert found == {"fp32": records["fp32"]}
    between = tree(nemo_done)
    assert before.items() < between.items()
    assert graph_parts(nemo_done) == {one.digest: 1 for one in speech}

    again = replace(fp32, name="again")
    found = evaluate([again, int4], speech[:2], nemo_done, ALONE, Silent())
    assert found == {"again": records["fp32"][:2], "int4": records["int4"][:2]}
    new = {name.partition("/")[0] for name in tree(nemo_done).keys() - between.keys()}
    assert new == {Results.of(int4, nemo_done).directory.name}


def test_deeper_later(undisturbed, systems, speech, tmp_path) -> None:
    shallow = [replace(one, deep=False) for one in speech[:2]]
    found = evaluate(systems, shallow, tmp_path, ALONE, Silent())
    assert [one.divergence for of in found.values() for one in of] == [None] * 6
    assert not list(tmp_path.glob("*/arrays"))

    deep = evaluate(systems, speech[:2], tmp_path, ALONE, Silent())
    assert deep == {name: of[:2] for name, of in undisturbed[1].items()}
    assert evaluate(systems, shallow, tmp_path, ALONE, Silent()) == found


def test_a_reference_nobody_asked_for_hears_only_what_is_compared(
    undisturbed, fp32, speech, tmp_path
) -> None:
    found = evaluate([fp32], speech[:3], tmp_path, ALONE, Silent())
    assert found == {"fp32": undisturbed[1]["fp32"][:3]}
    assert len(Results.of(fp32.reference, tmp_path).records()) == 2


def test_other_modes_and_speech_without_text(pytorch, speech, tmp_path) -> None:
    offline = replace(pytorch, name="offline", mode="offline", chunk_ms=None, full_context=True)
    chunked = replace(pytorch, name="chunked", mode="chunked", chunk_ms=1120)
    heard = [speech[0], replace(speech[1], text=None)]
    found = evaluate([offline, chunked], heard, tmp_path, ALONE, Silent())
    [whole], [pieces] = found["offline"], found["chunked"]
    assert whole.utterance == pieces.utterance == speech[0].digest
    assert whole.text
    assert whole.tokens != pieces.tokens


def test_a_damaged_part_is_named(nemo_done, fp32, speech) -> None:
    part = next(nemo_done.glob("*/parts/*.jsonl"))
    right = part.read_text()
    part.write_text('{"utterance": "a", "tok')
    with pytest.raises(InputError, match=re.escape(f"{part}:1: ") + ".*delete the file"):
        evaluate([fp32, fp32.reference], speech, nemo_done, ALONE, Silent())
    whole = right.splitlines()
    whole[0] = whole[0].replace('"tokens":[', '"tokens":[1,', 1)
    part.write_text("\n".join(whole))
    with pytest.raises(InputError, match=re.escape(f"{part}:1: was edited") + ".*delete the file"):
        evaluate([fp32, fp32.reference], speech, nemo_done, ALONE, Silent())
    part.unlink()
    for arrays in nemo_done.glob("*/arrays/*"):
        arrays.write_bytes(arrays.read_bytes()[:100])
    with pytest.raises(InputError, match=r"\.npz: .*delete the file"):
        evaluate([fp32], speech[:1], nemo_done, ALONE, Silent())


def test_graphs_of_another_chunk_length_are_named(nemo_done, fused, pytorch, speech) -> None:
    other = graph_system("other", fused(560), pytorch)
    wrong = replace(other, reference=replace(pytorch, chunk_ms=1120))
    with pytest.raises(InputError, match=r"frames per chunk differ.* chunks of 1120 ms"):
        evaluate([wrong], speech[:1], nemo_done, ALONE, Silent())
