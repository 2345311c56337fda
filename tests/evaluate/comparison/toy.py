"""Five utterances in two sets and a long one, said by five systems; small enough to count by hand.

PyTorch has 1 error in the 12 words of set `a` and 1 in the 7 of set `b`; `int4` has 3 and 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import kaldialign

from quantkit.evaluate.comparison.assemble import Assembled, assemble
from quantkit.evaluate.comparison.evaluated import Evaluated, collect, describe_suite
from quantkit.evaluate.comparison.rows import ReportRow
from quantkit.evaluate.comparison.worst import worst_utterances
from quantkit.evaluate.record import Divergence, Record
from quantkit.evaluate.system import GraphSystem, NemoSystem
from quantkit.evaluate.words import WordErrors
from quantkit.report.schema import Bench, Ratio, Report, Statistics
from quantkit.speech.utterances import Exclusion, Gathered, GatheredSet, SuiteUtterance

STATISTICS = Statistics(confidence=0.95, resamples=4000, seed=1, power=0.8)

SAID = {
    "a0": ("big cats eat fish", 1.0),
    "a1": ("Dogs run!", 1.5),
    "a2": ("birds fly over the high hills", 6.0),
    "b0": ("hello", 0.5),
    "b1": ("we sing loud songs today friends", 20.0),
}
PYTORCH = {
    "a0": "big cats eat dish",
    "a1": "dogs run",
    "a2": "birds fly over the high hills",
    "b0": "hello",
    "b1": "we sing loud songs today",
    "long": "a b c d e",
}
DECODED: dict[str, dict[str, str]] = {
    "pytorch": PYTORCH,
    "pytorch-80": PYTORCH | {"a0": "big cats dish"},
    "export": PYTORCH,
    "fp32": PYTORCH,
    "int4": PYTORCH
    | {
        "a0": "big bats eat dish",
        "a1": "dogs",
        "b0": "yellow",
        "b1": "we sing loud songs today friends",
        "long": "a b c d",
    },
    "int4-80": PYTORCH | {"a0": "big cats dish"},
}
DIVERGENCES = {
    "int4": {
        "a0": Divergence([0.1, 0.3], [1.0], near_tie=False),
        "b1": Divergence([0.2], [0.5, 2.0], near_tie=True),
        "long": Divergence([9.0], [0.1, 0.2, 0.4], near_tie=False),
    }
}


def _utterance(key: str) -> SuiteUtterance:
    text, duration_s = SAID[key]
    return SuiteUtterance(key[0], key[1], Path(f"{key}.flac"), text, duration_s, key, deep=True)


GATHERED = Gathered(
    {
        "a": GatheredSet("a.jsonl", None, [_utterance(key) for key in ("a0", "a1", "a2")], []),
        "b": GatheredSet(
            "hub/b", "c0ffee", [_utterance("b0"), _utterance("b1")], [Exclusion("b", "9", "silent")]
        ),
    },
    [],
    SuiteUtterance("long-form", "0", Path("long.flac"), "", 300.0, "long", deep=True),
)


def _words(key: str, text: str) -> WordErrors | None:
    if key not in SAID:
        return None
    said = SAID[key][0].lower().strip("!").split()
    edits = kaldialign.edit_distance(said, text.split())
    return WordErrors(edits["sub"], edits["del"], edits["ins"], len(said))


def records(decoded: Mapping[str, Mapping[str, str]] = DECODED) -> dict[str, list[Record]]:
    """One token a word."""
    vocabulary: dict[str, int] = {}
    return {
        system: [
            Record(
                key,
                [vocabulary.setdefault(word, len(vocabulary)) for word in text.split()],
                [],
                text,
                _words(key, text),
                DIVERGENCES.get(system, {}).get(key),
            )
            for key, text in texts.items()
        ]
        for system, texts in decoded.items()
    }


def evaluated(decoded: Mapping[str, Mapping[str, str]] = DECODED) -> Evaluated:
    return collect(records(decoded), GATHERED)


def _nemo(name: str, chunk_ms: int) -> NemoSystem:
    return NemoSystem(name, Path("toy.nemo"), "0" * 64, "streaming", chunk_ms)


def _graphs(name: str, chunk_ms: int) -> GraphSystem:
    return GraphSystem(name, Path(name), "0" * 64, _nemo("pytorch", chunk_ms))


BENCH = Bench(
    machine="toy",
    threads=2,
    step_p50_ms=1,
    step_p95_ms=2,
    rtfx=None,
    load_s=1,
    rss_bytes=1,
    faster_than_fp32=Ratio(median=2.0, low=1.9, high=2.1),
)
ROWS = [
    ReportRow(_nemo("pytorch", 560), "pytorch", None, 560),
    ReportRow(_nemo("pytorch-80", 80), "pytorch", None, 80),
    ReportRow(
        _graphs("fp32", 560), "fp32", None, 560, 4000, 32.0, 0.5,
        ("pytorch", "export", "fp32"),
    ),
    ReportRow(
        _graphs("int4", 560), "scheme", "demo-int4", 560, 1000, 4.5, 0.5,
        ("pytorch", "export", "fp32", "int4"), bench=BENCH,
    ),
    ReportRow(
        _graphs("int4-80", 80), "scheme", "demo-int4", 80, 1000, 4.5, 0.1,
        ("pytorch-80", "int4-80"),
    ),
]  # fmt: skip


def assembled() -> Assembled:
    return assemble(ROWS, evaluated(), "pytorch", STATISTICS)


def report() -> Report:
    found = evaluated()
    return Report(
        versions={},
        command="quantkit compare toy.yaml",
        checkpoint="toy",
        suite=describe_suite("toy", "en", "whisper 1", GATHERED, found),
        statistics=STATISTICS,
        reference="pytorch",
        schemes=assembled().schemes,
        gates=[],
        worst=worst_utterances(found, ROWS),
    )
