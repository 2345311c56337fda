"""A report as a comparison of the demo model's schemes makes it, with the project's own speech."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from quantkit.report.schema import Report
from tests.report.clips import worst_clips
from tests.report.schemes import LENGTHS, SCHEMES, Numbers

REFERENCE = "PyTorch streaming 560 ms"
SETS = {"prompts": (64, 595, 240.0), "game": (491, 4389, 1790.0)}


def full_report(
    numbers: Sequence[Numbers] = SCHEMES, layers: int = 8
) -> tuple[Report, dict[str, Path]]:
    """Three modes of PyTorch, fp32, schemes, two sets; and the speech of the worst."""
    schemes = [
        _pytorch(REFERENCE, "streaming", 560, None, None),
        _pytorch("PyTorch chunked 560 ms", "chunked", 560, 0.9012, 0.1384),
        _pytorch("PyTorch offline", "offline", None, 0.7105, -0.0523),
        _graphs(("fp32", 43_600_000, 32.0, 0.7628, 0.0, 0.0, 3.2e-8, 4.4), layers),
        *(_graphs(one, layers) for one in numbers),
    ]
    worst, audio = worst_clips(numbers[-1][0])
    return Report.model_validate(_report(schemes, _gates(numbers), worst)), audio


def bare_report() -> Report:
    """Only PyTorch and a scheme that nothing but words was measured of."""
    scheme = {
        **_pytorch("plain", "streaming", 560, 0.77, 0.01),
        "role": "scheme",
        "recipe": "plain",
        "total_bytes": None,
    }
    return Report.model_validate(
        _report([_pytorch(REFERENCE, "streaming", 560, None, None), scheme], [], [])
    )


def _report(schemes: list[Any], gates: list[Any], worst: list[Any]) -> dict[str, Any]:
    short = "0.2 s is shorter than a word"
    return {
        "schema": 1,
        "versions": {"quantkit": "0.1.0", "numpy": "2.4.6", "onnxruntime": "1.32.0"},
        "command": "quantkit compare demo.yaml --suite demo",
        "checkpoint": "demo.nemo, sha256 0123456789abcdef",
        "suite": {
            "name": "demo",
            "language": "en",
            "normalizer": "whisper-normalizer 0.1.15 (English)",
            "sets": {
                name: {
                    "source": f"calibration/{name}/manifest.jsonl",
                    "revision": None,
                    "utterances": utterances,
                    "words": words,
                    "duration_s": duration,
                    "digest": f"{words:064x}",
                    "excluded": [{"id": f"clip|{index}", "reason": short} for index in range(3)]
                    if name == "game"
                    else [],
                }
                for name, (utterances, words, duration) in SETS.items()
            },
            "problems": ["ami: <b>no</b> text field 'text'; it has: audio, id, sentence"],
        },
        "statistics": {"confidence": 0.95, "resamples": 10_000, "seed": 2026, "power": 0.8},
        "reference": REFERENCE,
        "schemes": schemes,
        "gates": gates,
        "worst": worst,
    }


def _rate(wer: float, delta: float | None) -> dict[str, Any]:
    rate: dict[str, Any] = {"wer": wer, "low": wer - 0.025, "high": wer + 0.024}
    spread = 0.006 * bool(delta)
    return rate | {
        "delta": delta,
        "delta_low": None if delta is None else delta - spread,
        "delta_high": None if delta is None else delta + 1.2 * spread,
        "p_value": None if delta is None else 0.412 if delta else 1.0,
        "minimum_detectable": 0.0093 if delta else None,
    }


def _row(name: str, wer: float, delta: float | None) -> dict[str, Any]:
    counts = {"substitutions": 300, "deletions": 100, "insertions": 50}
    return {
        "name": name,
        "sets": {
            one: _rate(wer + shift, delta) | {"utterances": size[0], "words": size[1]} | counts
            for (one, size), shift in zip(SETS.items(), (0.08, -0.08), strict=True)
        },
        "macro": _rate(wer, delta),
        "recipe": None,
        "total_bytes": None,
        "bits_per_weight": None,
        "latency_s": None,
        "by_length": [],
        "parity": None,
        "chain": [],
        "long_form": None,
        "layers": [],
        "bench": None,
    }


def _pytorch(
    name: str, mode: str, chunk_ms: int | None, wer: float | None, delta: float | None
) -> dict[str, Any]:
    row = _row(name, 0.7628 if wer is None else wer, delta)
    return row | {"role": "pytorch", "mode": mode, "chunk_ms": chunk_ms}


def _graphs(numbers: Numbers, layers: int) -> dict[str, Any]:
    name, total_bytes, bits, wer, delta, errors, kl, step_ms = numbers
    chance = random.Random(name)
    exact = round(555 * (1 - errors) ** 6)
    scale = 1e-5 if name == "fp32" else 3 * kl**0.5

    def noisy(size: int, middle: float) -> list[float]:
        return [middle * chance.lognormvariate(0, 0.4) for _ in range(size)]

    steps = [("export", 0), ("fusion", 0), ("quantization", round(6478 * errors))]
    return _row(name, wer, delta) | {
        "role": "fp32" if name == "fp32" else "scheme",
        "mode": "streaming",
        "chunk_ms": 560,
        "recipe": name if name != "fp32" else None,
        "total_bytes": total_bytes,
        "bits_per_weight": bits,
        "latency_s": 0.6325,
        "by_length": [
            {
                "from_s": start,
                "to_s": end,
                "utterances": count,
                "words": 9 * count,
                "wer": wer,
                "delta": delta * factor,
                "delta_low": delta * factor - 0.02 * factor * bool(delta),
                "delta_high": delta * factor + 0.02 * factor * bool(delta),
            }
            for start, end, count, factor in LENGTHS
        ],
        "parity": {
            "reference": REFERENCE,
            "utterances": 555,
            "token_exact_utterances": exact,
            "reference_tokens": 6478,
            "token_errors": round(6478 * errors),
            "token_error_rate": errors,
            "token_error_rate_low": errors * 0.9,
            "token_error_rate_high": errors * 1.1,
            "deep_utterances": 64,
            "near_tie_errors": 1,
            "decisions": 11_345,
            "kl": {
                "mean": kl,
                "mean_low": kl * 0.95,
                "mean_high": kl * 1.05,
                "p99": 9 * kl,
                "max": 90 * kl,
            },
            "encoder_max_abs_error": 9 * scale,
            "encoder_max_abs_error_by_chunk": noisy(9, scale),
        },
        "chain": [
            {
                "step": step,
                "utterances": 555,
                "token_exact_utterances": exact if changed else 555,
                "reference_tokens": 6478,
                "token_errors": changed,
                "word_errors_added": round(4984 * delta) if changed else 0,
            }
            for step, changed in steps[: 2 if name == "fp32" else 3]
        ],
        "long_form": {
            "duration_s": 300.0,
            "reference_tokens": 1800,
            "token_errors": round(1800 * errors),
            "encoder_errors": noisy(536, scale),
        },
        "layers": []
        if name == "fp32"
        else [
            {"layer": layer, "kl_mean": value}
            for layer, value in zip(
                [
                    "encoder/stem",
                    *(f"encoder/layers.{n}" for n in range(layers)),
                    "predictor",
                    "joint",
                ],
                noisy(layers + 3, kl / 10),
                strict=True,
            )
        ],
        "bench": {
            "machine": "AMD EPYC, 2 cores",
            "threads": 1,
            "step_p50_ms": step_ms,
            "step_p95_ms": 1.2 * step_ms,
            "rtfx": 400 / step_ms,
            "load_s": 0.21,
            "rss_bytes": 120_000_000,
            "faster_than_fp32": None
            if name == "fp32"
            else {"median": 4.4 / step_ms, "low": 4.3 / step_ms, "high": 4.5 / step_ms},
        },
    }


def _gates(numbers: Sequence[Numbers]) -> list[dict[str, Any]]:
    gates = []
    for name, _, _, _, delta, errors, kl, _ in numbers:
        values = [
            ("wer_difference (macro)", delta + 0.0072, 0.01, "macro.delta_high", 0.95),
            ("token_error_rate", errors, 0.4, "parity.token_error_rate", None),
            ("kl_mean", kl, 0.002, "parity.kl.mean", None),
        ]
        gates += [
            {
                "name": gate,
                "scheme": name,
                "passed": value <= limit,
                "value": value,
                "limit": limit,
                "at_least": False,
                "margin": limit - value,
                "confidence": confidence,
                "evidence": f"schemes[{name}].{key}",
            }
            for gate, value, limit, key, confidence in values
        ]
    return gates
