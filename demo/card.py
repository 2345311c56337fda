"""`python -m demo.card`: write demo/MODEL_CARD.md from data, configuration and results."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from demo import config as settings
from demo.batches import Corpus, plan
from demo.config import HERE
from demo.features import FRAMES_PER_SECOND

CARD = """\
# The demo model

A cache-aware streaming FastConformer transducer for English, small and briefly trained. It exists
so that export, streaming, quantization and parity can be shown and tested on genuinely trained
weights without a download. It has the topology of larger models of its kind, not their accuracy.

| | |
|---|---|
| File | `demo.nemo`, {bytes:,} bytes, sha256 `{sha256}` |
| Class | `EncDecRNNTBPEModel` of NeMo 3.0 |
| Encoder | {layers} layers of width {width}, {heads} heads; causal x8 stem of {stem} channels |
| Prediction network | {lstm} LSTM layers of {pred}; joint network of {joint}; {pieces} BPE pieces |
| Input | 16 kHz mono, 128 log-mel bands, not normalized |
| Contexts | {contexts}, in 80 ms frames (left, right) |
| Weights | half precision: these rounded values are the reference |
| Licence | Apache-2.0, as the project |

## Word error rate
Streamed chunk by chunk through NeMo's own cache-aware streaming, greedy decoding; per cent, with
95 % bootstrap intervals over utterances. Two models' rates on all {words:,} words differ by chance
by less than {detectable:.1f} points, 95 of 100 times, if they err independently; paired comparisons
of schemes (`quantkit compare`) resolve less and say how much.

| set | utterances | words | {context_heads} |
|---|--:|--:|{rules}
{rates}

{sets}

## Training data
| source | kind | what | clips | hours | licence |
|---|---|---|--:|--:|---|
{sources}
| total | | | {clips:,} | {hours:.1f} | |

Texts: {texts}.

The games' licences permit modified redistribution with their readmes and notices intact and forbid
selling the games themselves. No recording of them is used here but for calibration and parity
(`calibration/`), only their subtitles with their places in the packages (`data/`).

## Training
{earlier}

Then, from that checkpoint with its layers {origins}: {steps:,} steps of AdamW over {heard:.0f}
hours of audio (clips repeat with new augmentation: wandering tempo, vocal tract, rooms, channels,
noise, voices behind, masks), in {minutes} minutes on {hardware}. Losses: transducer,
{ctc:g} CTC and, where phone times are known, {phone:g} phone cross-entropy of layer {phone_layer}.
Learning rate {peak:g}, flat to {flat:.0%}, then a cosine to {last:.1%} of it. {wrong:.0%} of the
pieces that the prediction network was told were wrong ones, lest it learned the texts by heart.
The weights in the file are {share:g} of the initial ones and {rest:g} of the trained, which does
better than either on voices that training lacks. `config.yaml` holds every setting, `README.md`
the commands.

Whole utterances of a few held-out clips during training (losses for each piece, WER in per cent):

| steps | transducer | CTC | phone | {set_heads} |
|--:|--:|--:|--:|{set_rules}
{curve}

## What it cannot do
- It has heard synthetic voices and two games' casts: expect it to fail on other voices, accents,
  rooms, noise and spontaneous speech. The Asterisk row shows how badly on one clean real voice.
- It writes lower-case letters, apostrophes and spaces: no digits, punctuation or capitals.
- Its vocabulary follows dictionary examples, fortunes and adventure games.
- Do not use it to transcribe anything that matters.
"""


def main() -> None:
    """Fill in the card."""
    config = settings.load()
    cache = settings.cache(config)
    corpus = Corpus(cache / "shards", cache / "tokenizer")
    results = json.loads((HERE / "results.json").read_text())
    model, training, card = config["model"], config["training"], config["card"]
    contexts = [str(context) for context in model["encoder"]["att_context_size"]]
    checkpoint = (HERE / "demo.nemo").read_bytes()
    seconds = seconds_by_source(corpus)
    text = CARD.format(
        bytes=len(checkpoint),
        sha256=hashlib.sha256(checkpoint).hexdigest(),
        layers=model["encoder"]["n_layers"],
        width=model["encoder"]["d_model"],
        heads=model["encoder"]["n_heads"],
        stem=model["encoder"]["subsampling_conv_channels"],
        lstm=model["decoder"]["prednet"]["pred_rnn_layers"],
        pred=model["decoder"]["prednet"]["pred_hidden"],
        joint=model["joint"]["jointnet"]["joint_hidden"],
        pieces=config["tokenizer"]["pieces"],
        contexts=", ".join(contexts),
        context_heads=" | ".join(contexts),
        rules="--:|" * len(contexts),
        rates="\n".join(_rate_row(name, results[name], contexts) for name in card["sets"]),
        sets="\n".join(f"- **{name}**: {what}." for name, what in card["sets"].items()),
        sources="\n".join(
            f"| {name} | {kind} | {what} | {len(seconds[name]):,} "
            f"| {sum(seconds[name]) / 3600:.1f} | {licence} |"
            for name, (kind, what, licence) in card["sources"].items()
        ),
        clips=len(corpus.items),
        hours=sum(map(sum, seconds.values())) / 3600,
        texts=card["texts"],
        steps=training["steps"],
        heard=hours_heard(corpus, config),
        minutes=card["minutes"],
        hardware=card["hardware"],
        earlier=card["earlier"].strip(),
        origins=", ".join(str(origin + 1) for origin in training["initial"]["layers"]),
        ctc=training["weights"]["ctc"],
        phone=training["weights"]["phone"],
        phone_layer=training["phone"]["layer"],
        set_heads=" | ".join(card["sets"]),
        set_rules="--:|" * len(card["sets"]),
        curve="\n".join(_curve_rows(cache / "curve.jsonl", list(card["sets"]))),
        words=sum(results[name]["words"] for name in card["sets"]),
        detectable=detectable([results[name] for name in card["sets"]], "[70, 6]"),
        peak=training["rate"]["peak"],
        flat=training["rate"]["flat_until"],
        last=training["rate"]["last"],
        wrong=training["wrong_pieces"],
        share=training["initial"]["share"],
        rest=round(1 - training["initial"]["share"], 6),
    )
    (HERE / "MODEL_CARD.md").write_text(text)


def seconds_by_source(corpus: Corpus) -> dict[str, list[float]]:
    """Duration of every training clip."""
    seconds: dict[str, list[float]] = {}
    for item in corpus.items:
        seconds.setdefault(item.source, []).append(len(item.mel) / FRAMES_PER_SECOND)
    return seconds


def detectable(results: list[dict[str, Any]], context: str) -> float:
    """Half-width in points of the 95 % interval of a difference of two independent pooled rates.

    The standard error of each set's rate is taken from its bootstrap interval.
    """
    total = sum(result["words"] for result in results)
    variance = sum(
        (result["words"] / total * (rate["high"] - rate["low"]) / (2 * 1.96)) ** 2
        for result in results
        for rate in [result["wer"][context]]
    )
    return 1.96 * math.sqrt(2 * variance)


def _curve_rows(path: Path, sets: list[str]) -> Iterator[str]:
    for line in path.read_text().splitlines():
        point = json.loads(line)
        losses = " | ".join(
            f"{point[name]:.2f}" if name in point else "" for name in ("transducer", "ctc", "phone")
        )
        rates = " | ".join(f"{point[name]:.0f}" for name in sets)
        yield f"| {point['steps']:,} | {losses} | {rates} |"


def hours_heard(corpus: Corpus, config: dict[str, Any]) -> float:
    """Hours of audio in all steps of the schedule."""
    frames = sum(
        len(corpus.items[clip].mel)
        for parts in plan(corpus, config["training"], config["seed"])
        for groups in parts
        for group in groups
        for clip in group
    )
    return frames / FRAMES_PER_SECOND / 3600


def _rate_row(name: str, result: dict[str, Any], contexts: list[str]) -> str:
    cells = (
        f"{rate['wer']:.1f} ({rate['low']:.1f}-{rate['high']:.1f})"
        for rate in (result["wer"][context] for context in contexts)
    )
    return f"| {name} | {result['utterances']} | {result['words']:,} | {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
