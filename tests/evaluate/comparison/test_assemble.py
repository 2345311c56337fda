"""Every number of a toy comparison, counted by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from quantkit.evaluate.comparison.assemble import assemble
from quantkit.evaluate.comparison.evaluated import collect, describe_suite
from quantkit.evaluate.comparison.worst import worst_utterances
from quantkit.report.schema import Scheme
from tests.evaluate.comparison import toy


@pytest.fixture(scope="module")
def schemes() -> dict[str, Scheme]:
    return {scheme.name: scheme for scheme in toy.assembled().schemes}


def test_rates_of_sets_and_their_average(schemes: dict[str, Scheme]) -> None:
    found = schemes["int4"]
    a, b = found.sets["a"], found.sets["b"]
    assert (a.utterances, a.words, a.substitutions, a.deletions, a.insertions) == (3, 12, 2, 1, 0)
    assert (a.wer, b.wer) == (3 / 12, 1 / 7)
    assert a.delta == pytest.approx(2 / 12)
    assert found.macro.wer == pytest.approx((3 / 12 + 1 / 7) / 2)
    assert found.macro.delta == pytest.approx(1 / 12)
    # Two utterances, of which one gains an error in one word and one loses it in six: a draw has
    # one of three differences, and equally often either side of zero.
    assert (b.delta, b.delta_low, b.delta_high) == pytest.approx((0, -1 / 6, 1))
    assert b.p_value == 1
    assert 0 < (a.p_value or 0) < 1
    assert (a.minimum_detectable or 0) > 0


def test_graphs_are_held_against_their_chunk_length_and_modes_against_the_reference(
    schemes: dict[str, Scheme],
) -> None:
    reference = schemes["pytorch"].macro
    assert reference.delta is reference.p_value is reference.minimum_detectable is None
    assert schemes["pytorch-80"].sets["a"].delta == pytest.approx(1 / 12)
    same = schemes["int4-80"].macro
    assert same.wer == schemes["pytorch-80"].macro.wer
    assert (same.delta, same.delta_low, same.delta_high, same.p_value) == (0, 0, 0, 1)
    assert schemes["pytorch"].parity is None
    assert schemes["pytorch"].long_form is None


def test_parity(schemes: dict[str, Scheme]) -> None:
    parity = schemes["int4"].parity
    assert parity is not None
    assert parity.reference == "pytorch"
    assert (parity.token_errors, parity.reference_tokens) == (4, 18)
    assert parity.token_error_rate == 4 / 18
    assert 0 < (parity.token_error_rate_low or 0) < 4 / 18 < (parity.token_error_rate_high or 0)
    assert (parity.token_exact_utterances, parity.utterances) == (1, 5)
    # The long form is deep, but does not count here.
    assert (parity.deep_utterances, parity.near_tie_errors, parity.decisions) == (2, 1, 3)
    assert parity.kl is not None
    assert parity.kl.mean == pytest.approx(0.2)
    assert (parity.kl.mean_low, parity.kl.mean_high) == pytest.approx((0.2, 0.2))
    assert parity.kl.p99 == pytest.approx(np.quantile([0.1, 0.2, 0.3], 0.99))
    assert parity.kl.max == 0.3
    assert parity.encoder_max_abs_error_by_chunk == [1.0, 2.0]
    assert parity.encoder_max_abs_error == 2.0
    shallow = schemes["fp32"].parity
    assert shallow is not None
    assert shallow.kl is None
    assert shallow.encoder_max_abs_error is None


def test_what_another_suite_compared_deeply_does_not_count(schemes: dict[str, Scheme]) -> None:
    b = toy.GATHERED.sets["b"]
    shallow = [replace(utterance, deep=False) for utterance in b.utterances]
    gathered = replace(
        toy.GATHERED, sets={**toy.GATHERED.sets, "b": replace(b, utterances=shallow)}
    )
    found = assemble(toy.ROWS, collect(toy.records(), gathered), "pytorch", toy.STATISTICS)
    parity, before = found.schemes[3].parity, schemes["int4"].parity
    assert parity is not None
    assert before is not None
    assert (parity.deep_utterances, parity.near_tie_errors, parity.decisions) == (1, 0, 2)
    assert parity.encoder_max_abs_error_by_chunk == [1.0]
    assert parity.token_errors == before.token_errors


def test_the_loss_is_attributed_to_the_step_that_caused_it(schemes: dict[str, Scheme]) -> None:
    assert [
        (link.step, link.token_errors, link.token_exact_utterances, link.word_errors_added)
        for link in schemes["int4"].chain
    ] == [("export", 0, 5, 0), ("fusion", 0, 5, 0), ("quantization", 4, 1, 2)]
    assert [link.step for link in schemes["fp32"].chain] == ["export", "fusion"]
    assert schemes["pytorch"].chain == []


def test_the_long_form(schemes: dict[str, Scheme]) -> None:
    found = schemes["int4"].long_form
    assert found is not None
    assert (found.duration_s, found.reference_tokens, found.token_errors) == (300, 5, 1)
    assert found.encoder_errors == [0.1, 0.2, 0.4]


def test_lengths(schemes: dict[str, Scheme]) -> None:
    short, long, longest = schemes["int4"].by_length
    assert [(one.from_s, one.to_s) for one in (short, long, longest)] == [
        (0, 2), (5.6, 15), (15, None),
    ]  # fmt: skip
    assert (short.utterances, short.words, short.wer) == (3, 7, 4 / 7)
    assert short.delta == pytest.approx(3 / 7)
    assert short.delta_low < 3 / 7 < short.delta_high
    assert (long.delta, long.delta_low, long.delta_high) == (0, 0, 0)
    assert (longest.delta, longest.delta_low) == pytest.approx((-1 / 6, -1 / 6))
    assert [one.delta for one in schemes["pytorch"].by_length] == [0, 0, 0]


def test_the_worst_utterances_by_rise_then_share() -> None:
    found = worst_utterances(toy.evaluated(), toy.ROWS)
    assert [(one.set, one.id, one.scheme) for one in found] == [
        ("b", "0", "int4"), ("a", "1", "int4"), ("a", "0", "int4"),
    ]  # fmt: skip
    dogs = found[1]
    assert (dogs.word_errors, dogs.reference_word_errors, dogs.words) == (1, 0, 2)
    assert [(one.said, one.decoded) for one in dogs.scheme_alignment] == [
        ("dogs", "dogs"), ("run", ""),
    ]  # fmt: skip
    assert [(one.said, one.decoded) for one in dogs.reference_alignment] == [
        ("dogs", "dogs"), ("run", "run"),
    ]  # fmt: skip


def test_an_utterance_is_shown_once_with_the_scheme_that_hurt_it_most() -> None:
    decoded = toy.DECODED | {"fp32": toy.PYTORCH | {"a1": "no way"}}
    found = worst_utterances(toy.evaluated(decoded), toy.ROWS)
    assert [(one.id, one.scheme, one.word_errors) for one in found if one.set == "a"] == [
        ("1", "fp32", 2), ("0", "int4", 2),
    ]  # fmt: skip
    assert worst_utterances(toy.evaluated(), toy.ROWS[:2]) == []


def test_what_a_row_knows_of_itself_is_kept(schemes: dict[str, Scheme]) -> None:
    found = schemes["int4"]
    assert (found.role, found.mode, found.chunk_ms, found.recipe) == (
        "scheme", "streaming", 560, "demo-int4",
    )  # fmt: skip
    assert (found.total_bytes, found.bits_per_weight, found.latency_s) == (1000, 4.5, 0.5)
    assert found.bench == toy.BENCH


def test_other_rows_move_no_number() -> None:
    alone = assemble([toy.ROWS[0], toy.ROWS[3]], toy.evaluated(), "pytorch", toy.STATISTICS)
    assert alone.schemes[1] == toy.assembled().schemes[3]
    pytorch = assemble(toy.ROWS[:2], toy.evaluated(), "pytorch", toy.STATISTICS)
    assert pytorch.schemes == toy.assembled().schemes[:2]
    assert pytorch.measures == {}


def test_no_token_of_pytorch_is_no_rate() -> None:
    silent = {name: dict.fromkeys(toy.PYTORCH, "") for name in toy.DECODED}
    found = assemble(toy.ROWS, toy.evaluated(silent), "pytorch", toy.STATISTICS).schemes[3]
    assert found.parity is not None
    assert found.parity.token_error_rate is found.parity.token_error_rate_low is None
    assert found.parity.token_exact_utterances == 5
    assert found.macro.wer == 1


def test_the_suite_as_evaluated() -> None:
    suite = describe_suite("toy", "en", "whisper 1", toy.GATHERED, toy.evaluated())
    b = suite.sets["b"]
    assert (b.source, b.revision, b.utterances, b.words, b.duration_s) == (
        "hub/b", "c0ffee", 2, 7, 20.5,
    )  # fmt: skip
    assert [(one.id, one.reason) for one in b.excluded] == [("9", "silent")]
    assert len({suite.sets["a"].digest, b.digest}) == 2


def test_records_of_other_speech_are_refused() -> None:
    records = toy.records()
    records["int4"].reverse()
    with pytest.raises(ValueError, match="int4: records of other utterances"):
        collect(records, toy.GATHERED)
