"""The model card: what an artifact is, how to run it, what was measured."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ruamel.yaml import YAML

from quantkit.bundle.guide import NATIVE
from quantkit.core.markdown import code, escape, fenced


@dataclass(frozen=True)
class WordErrors:
    """A word error rate beside PyTorch's on the same utterances, as fractions with intervals.

    Attributes:
        name: of the set, or what the average is over.
        utterances: None where it is an average over sets.
        words: likewise.
        wer: of the artifact.
        interval: low and high end of `wer`.
        reference: PyTorch's.
        delta: `wer` minus `reference`; None where it was not compared.
        delta_interval: low and high end of `delta`.
    """

    name: str
    utterances: int | None
    words: int | None
    wer: float
    interval: tuple[float, float]
    reference: float | None
    delta: float | None
    delta_interval: tuple[float, float] | None


@dataclass(frozen=True)
class Publication:
    """What is known of an artifact once it goes to a hub.

    Attributes:
        repository: ORGANISATION/NAME.
        revision: the branch.
        license: of the source model, in words; None while it is not known.
        confidence: of all intervals; None without `rates`.
        rates: rows of the table of word error rates; empty if none were measured.
        problems: what speaks against publishing, and was overruled.
    """

    repository: str
    revision: str
    license: str | None
    confidence: float | None = None
    rates: Sequence[WordErrors] = ()
    problems: Sequence[str] = ()

    @property
    def name(self) -> str:
        """What commands take in place of a directory."""
        revision = "" if self.revision == "main" else f"@{self.revision}"
        return f"hf://{self.repository}{revision}"


def model_card(
    manifest: Mapping[str, Any],
    publication: Publication | None = None,
    usage: Sequence[str] = NATIVE,
) -> str:
    """A model card in Markdown, from a manifest and what is known beside it.

    Of the manifest the list of files is not read: the card may be one of them. `usage` are the
    lines that say how to run what is on this machine.
    """
    sections = [
        _warning(publication.problems if publication else ()),
        _what(manifest, publication),
        _run(publication) if publication else list(usage),
        _latency(manifest["latency"]),
        _size(manifest["graphs"]),
        _word_errors(publication) if publication else [],
        _parity(manifest["parity"]),
        _recipe(manifest["recipe"]),
    ]
    lines = [f"# {escape(manifest['recipe']['name'])}"]
    for section in sections:
        lines += ["", *section] if section else []
    return "\n".join(lines) + "\n"


def _warning(problems: Sequence[str]) -> list[str]:
    if not problems:
        return []
    return [
        "> **Published with `--force`.** quantkit refuses to publish this artifact, because",
        # Keys stay as they are written: all that an underscore makes is emphasis.
        *("> - " + escape(problem).replace(r"\_", "_") for problem in problems),
    ]


def _what(manifest: Mapping[str, Any], publication: Publication | None) -> list[str]:
    source, versions = manifest["source"], manifest["versions"]
    revision = f" at {_revision(source['revision'])}" if source["revision"] else ""
    lines = [
        f"Streaming speech recognition for CPUs: three ONNX graphs made by quantkit "
        f"{escape(versions['quantkit'])} from {code(source['name'])}{revision} "
        f"(sha256 {code(source['sha256'])})."
    ]
    if publication and publication.license:
        lines += ["", f"License, as of the source model: {publication.license}."]
    return lines


def _revision(name: str) -> str:
    """A commit as it is, any other name so that nothing in it acts."""
    return name if re.fullmatch(r"[0-9a-f]{40}", name) else escape(name)


def _run(publication: Publication) -> list[str]:
    name = publication.name
    return [
        "## How to run it",
        "",
        "```",
        "pip install 'quantkit[hub]'",
        f"quantkit transcribe {name} speech.wav",
        "```",
        "",
        "For onnxruntime-genai and sherpa-onnx, which load directories of their own:",
        "",
        "```",
        f"quantkit bundle {name} --format genai --out genai",
        f"quantkit bundle {name} --format sherpa --out sherpa",
        "```",
    ]


def _latency(latency: Mapping[str, Any]) -> list[str]:
    return [
        "## Latency",
        "",
        f"Audio goes in by {latency['chunk_s'] * 1000:g} ms; algorithmic latency "
        f"{latency['algorithmic_s'] * 1000:g} ms ({escape(latency['definition'])}).",
    ]


def _size(graphs: Mapping[str, Any]) -> list[str]:
    return [
        "## Size",
        "",
        "| graph | parameters | bits per weight | MB of weights |",
        "|---|--:|--:|--:|",
        *(
            f"| {escape(name)} | {graph['parameters']:,} | {graph['bits_per_weight']:.2f} "
            f"| {graph['parameters'] * graph['bits_per_weight'] / 8e6:.1f} |"
            for name, graph in graphs.items()
        ),
    ]


def _word_errors(publication: Publication) -> list[str]:
    if not publication.rates:
        return []
    return [
        "## Word error rate",
        "",
        f"In per cent, with {publication.confidence:.0%} intervals; PyTorch streams the same "
        "utterances in chunks of the same length.",
        "",
        "| set | utterances | words | this artifact | PyTorch | difference |",
        "|---|--:|--:|--:|--:|--:|",
        *(
            f"| {escape(rate.name)} | {_count(rate.utterances)} | {_count(rate.words)} "
            f"| {_per_cent(rate.wer, rate.interval)} | {_per_cent(rate.reference)} "
            f"| {_per_cent(rate.delta, rate.delta_interval, '+')} |"
            for rate in publication.rates
        ),
    ]


def _count(number: int | None) -> str:
    return "" if number is None else f"{number:,}"


def _per_cent(
    rate: float | None, interval: tuple[float, float] | None = None, sign: str = ""
) -> str:
    if rate is None:
        return ""
    text = f"{100 * rate:{sign}.2f}"
    if interval is None:
        return text
    low, high = (f"{100 * end:{sign}.2f}" for end in interval)
    return f"{text} ({low} to {high})"


def _parity(parity: Mapping[str, Any]) -> list[str]:
    rows = [
        ("utterances with the same tokens", f"{parity['token_exact_utterances']:,}"),
        ("token errors", f"{parity['token_errors']:,} of {parity['reference_tokens']:,}"),
        ("of these at near-ties of the reference", f"{parity['near_tie_errors']:,}"),
    ]
    if parity["encoder_max_abs_error"] is not None:
        rows.append(("largest encoder error", f"{parity['encoder_max_abs_error']:.2g}"))
    if parity.get("kl") is not None:
        rows.append(("mean divergence of distributions (KL), nats", f"{parity['kl']['mean']:.2g}"))
    wer = parity.get("wer")
    if wer is not None:
        rows.append(("word error rate, PyTorch", f"{wer['reference']:.2%}"))
        rows.append(("word error rate, this artifact", f"{wer['candidate']:.2%}"))
    return [
        "## Parity",
        "",
        f"Against the PyTorch model, {parity['utterances']:,} utterances:",
        "",
        "| measured | value |",
        "|---|--:|",
        *(f"| {name} | {value} |" for name, value in rows),
    ]


def _recipe(recipe: Mapping[str, Any]) -> list[str]:
    text = io.StringIO()
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    yaml.dump(dict(recipe), text)
    return ["## Recipe", "", fenced(text.getvalue().rstrip("\n"), "yaml")]
