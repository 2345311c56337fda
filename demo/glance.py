"""A quick look at held-out clips during training: whole utterances, not streamed."""

from __future__ import annotations

import json
from typing import Any

import kaldialign
import soundfile
import torch
from torch import nn

from demo import config as settings
from demo.features import log_mel


class Glance:
    """Word error rates of a few clips of every evaluation set at right context 6."""

    def __init__(self, config: dict[str, Any], clips: int = 40) -> None:
        features = log_mel(config["model"]["preprocessor"])
        self.sets: dict[str, list[tuple[torch.Tensor, str]]] = {}
        for name in config["card"]["sets"]:
            folder = settings.cache(config) / "eval" / name
            rows = [json.loads(line) for line in (folder / "manifest.jsonl").open()]
            rows = [row for row in rows if row["duration_s"] < 8]
            chosen = rows[:: len(rows) // clips][:clips]
            self.sets[name] = [
                (torch.from_numpy(features(soundfile.read(folder / row["audio"])[0])), row["text"])
                for row in chosen
            ]

    @torch.inference_mode()
    def __call__(self, model: nn.Module) -> tuple[dict[str, float], str]:
        """The rate of each set in per cent, and one clip's text with what the model made of it."""
        model.eval()
        model.encoder.set_default_att_context_size([70, 6])
        device = next(model.parameters()).device
        rates, shown = {}, ""
        for name, clips in self.sets.items():
            mels = [mel for mel, _ in clips]
            encoded, lengths = model.encoder(
                audio_signal=nn.utils.rnn.pad_sequence(mels, batch_first=True).mT.to(device),
                length=torch.tensor([len(mel) for mel in mels], device=device),
            )
            decoded = model.decoding.rnnt_decoder_predictions_tensor(encoded, lengths)
            errors = words = 0
            for hypothesis, (_, text) in zip(decoded, clips, strict=True):
                reference = text.split()
                errors += kaldialign.edit_distance(reference, hypothesis.text.split())["total"]
                words += len(reference)
                shown = f"{text} -> {hypothesis.text}"
            rates[name] = round(100 * errors / words, 1)
        return rates, shown
