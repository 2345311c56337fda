"""Numbers as a report shows them: one spelling for Markdown, HTML, JUnit and the terminal."""

from __future__ import annotations

from quantkit.report.schema import Gate, Rate, Ratio

#: Stands where nothing was measured.
UNMEASURED = "-"

_MINUS = "\N{MINUS SIGN}"


def number(value: float | None, decimals: int = 1) -> str:
    """`1,234.5`."""
    return UNMEASURED if value is None else f"{value:,.{decimals}f}"


def percent(value: float | None, decimals: int = 2) -> str:
    """A share in hundredths, without the sign that stands in the head of the column: `84.20`."""
    return UNMEASURED if value is None else f"{100 * value:.{decimals}f}"


def points(value: float | None) -> str:
    """A difference of two shares in hundredths, with its sign: `+0.34`."""
    if value is None:
        return UNMEASURED
    text = f"{100 * value:+.2f}"
    return "0.00" if float(text) == 0 else text.replace("-", _MINUS)


def interval(low: str, high: str) -> str:
    """`(0.12 to 0.34)`, of bounds that are formatted already; nothing where one is unmeasured."""
    return "" if UNMEASURED in {low, high} else f" ({low} to {high})"


def error_rate(rate: Rate) -> str:
    """A word error rate in hundredths with its interval: `84.20 (80.11 to 88.02)`."""
    return percent(rate.wer) + interval(percent(rate.low), percent(rate.high))


def difference(rate: Rate) -> str:
    """A rate minus PyTorch's in points with its interval."""
    return points(rate.delta) + interval(points(rate.delta_low), points(rate.delta_high))


def p_value(value: float | None) -> str:
    """Three decimals, or that it is less than they show."""
    if value is None:
        return UNMEASURED
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def scientific(value: float | None) -> str:
    """Two digits, whatever the magnitude: `7.7e-4`, `0.29`, `3.8`."""
    if value is None:
        return UNMEASURED
    if value == 0 or 0.1 <= value < 100:
        return f"{value:.2g}"
    mantissa, exponent = f"{value:.1e}".split("e")
    return f"{mantissa}e{int(exponent)}"


def ratio(value: Ratio | None) -> str:
    """Two decimals with the interval."""
    if value is None:
        return UNMEASURED
    return number(value.median, 2) + interval(number(value.low, 2), number(value.high, 2))


def megabytes(size: int | None) -> str:
    """Millions of bytes."""
    return UNMEASURED if size is None else number(size / 1e6)


def milliseconds(seconds: float | None) -> str:
    """Whole milliseconds of a time in seconds."""
    return UNMEASURED if seconds is None else number(seconds * 1e3, 0)


def counted(count: int, noun: str) -> str:
    """`1 gate`, `2,000 gates`."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def seconds_range(start: float, end: float | None) -> str:
    """`2 to 5.6 s`, or `from 15 s`."""
    return f"from {start:g} s" if end is None else f"{start:g} to {end:g} s"


def describe_gate(gate: Gate) -> str:
    """A gate in one line: what was measured, what is accepted, and where the numbers are."""
    bound = "" if gate.confidence is None else f" ({100 * gate.confidence:g} % bound)"
    side = "at least" if gate.at_least else "at most"
    missed = "" if gate.passed else f", missed by {abs(gate.margin):.3g}"
    return (
        f"{gate.name} of {gate.scheme}: measured {gate.value:.6g}{bound}, "
        f"accepted {side} {gate.limit:.6g}{missed}; evidence: {gate.evidence}"
    )
