"""Made-up results, of the size of those of the demo model's schemes."""

from __future__ import annotations

# Name, bytes, bits per weight, WER, its difference, token error rate, mean KL, step in ms.
Numbers = tuple[str, int, float, float, float, float, float, float]
SCHEMES: list[Numbers] = [
    ("demo-int8-rtn", 13_400_000, 9.62, 0.7648, 0.0020, 0.050, 1.4e-4, 3.1),
    ("demo-int4-gptq", 7_800_000, 5.51, 0.7630, 0.0002, 0.096, 7.7e-4, 2.9),
    ("demo-int4-rtn", 7_900_000, 5.57, 0.7712, 0.0084, 0.350, 2.0e-2, 2.8),
]

#: Many that hardly differ.
CLOSE: list[Numbers] = [
    ("demo-int8-kquant", 13_400_000, 9.62, 0.7624, -0.0004, 0.049, 1.3e-4, 3.1),
    *SCHEMES,
    ("demo-mixed-budget", 7_900_000, 5.55, 0.7646, 0.0018, 0.083, 5.3e-4, 3.0),
    ("demo-mixed-published", 10_800_000, 7.72, 0.7652, 0.0024, 0.106, 9.8e-4, 3.0),
    ("demo-int8-ort-dynamic", 11_300_000, 8.06, 0.7662, 0.0034, 0.126, 1.2e-3, 3.5),
    ("demo-int4-kquant", 8_600_000, 6.07, 0.7650, 0.0022, 0.160, 2.3e-3, 2.9),
    ("demo-mixed-budget-3bit", 5_800_000, 4.00, 0.7570, -0.0058, 0.201, 4.4e-3, 2.9),
    ("demo-int4-olive-kquant", 11_600_000, 8.34, 0.7696, 0.0068, 0.354, 2.1e-2, 3.0),
]

# Seconds from and to, utterances, times the average difference.
LENGTHS = [
    (0.0, 2.0, 160, 2.0),
    (2.0, 5.6, 310, 1.0),
    (5.6, 15.0, 80, 0.6),
    (15.0, None, 5, 0.9),
]
