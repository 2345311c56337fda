"""The artifact's README: what it is, how to run it, what was measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from quantkit.bundle.guide import NATIVE


def model_card(manifest: Mapping[str, Any], usage: Sequence[str] = NATIVE) -> str:
    """A short model card in Markdown from a manifest without its file list.

    `usage` are the lines that say how to run it.
    """
    recipe, source, latency = manifest["recipe"], manifest["source"], manifest["latency"]
    revision = f" at {source['revision']}" if source["revision"] else ""
    lines = [
        f"# {recipe['name']}",
        "",
        f"Streaming speech recognition for CPUs: three ONNX graphs made by quantkit "
        f"{manifest['versions']['quantkit']} from `{source['name']}`{revision} "
        f"(sha256 `{source['sha256']}`).",
        "",
        *usage,
        "",
        f"Audio goes in by {latency['chunk_s'] * 1000:g} ms; algorithmic latency "
        f"{latency['algorithmic_s'] * 1000:g} ms ({latency['definition']}).",
        "",
        "| graph | parameters | bits per weight |",
        "|---|--:|--:|",
        *(
            f"| {name} | {graph['parameters']:,} | {graph['bits_per_weight']:.2f} |"
            for name, graph in manifest["graphs"].items()
        ),
        "",
        *_parity(manifest["parity"]),
    ]
    return "\n".join(lines).rstrip() + "\n"


def _parity(parity: Mapping[str, Any]) -> list[str]:
    rows = [
        ("utterances with the same tokens", f"{parity['token_exact_utterances']:,}"),
        ("token errors", f"{parity['token_errors']:,} of {parity['reference_tokens']:,}"),
        ("of these at near-ties of the reference", f"{parity['near_tie_errors']:,}"),
    ]
    if parity["encoder_max_abs_error"] is not None:
        rows.append(("largest encoder error", f"{parity['encoder_max_abs_error']:.2g}"))
    wer = parity.get("wer")
    if wer is not None:
        rows.append(("word error rate, PyTorch", f"{wer['reference']:.2%}"))
        rows.append(("word error rate, this artifact", f"{wer['candidate']:.2%}"))
    return [
        f"Against the PyTorch model, {parity['utterances']:,} utterances:",
        "",
        "| measured | value |",
        "|---|--:|",
        *(f"| {name} | {value} |" for name, value in rows),
    ]
