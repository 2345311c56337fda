"""`python -m demo.train`: train the demo model and export it to demo/demo.nemo.

Every step draws its randomness from the seed and its own number, so a killed training, started
again, goes on from its last checkpoint as if nothing had happened.
"""

from __future__ import annotations

import argparse
import math
import random
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from demo import config as settings
from demo.batches import FRAMES_PER_SECOND, LABELS, UNKNOWN_PHONE, Batch, Corpus, assemble, plan
from demo.glance import Glance
from demo.model import build, export, unit_variance
from demo.transducer_loss import transducer_loss


class Heads(nn.Module):
    """The auxiliary outputs that only training has: CTC pieces and phones."""

    def __init__(self, width: int, pieces: int, phones: int) -> None:
        super().__init__()
        self.ctc = nn.Linear(width, pieces + 1)
        self.phone = nn.Linear(width, LABELS * phones)


class Trainer:
    """The model with its optimizer, and the one operation on them: a step."""

    def __init__(self, config: dict[str, Any], corpus: Corpus, cache: Path) -> None:
        self.schedule, self.seed = config["training"], config["seed"]
        self.corpus = corpus
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        torch.manual_seed(self.seed)
        self.model = build(config, cache / "tokenizer", *corpus.statistics())
        pieces, width = config["tokenizer"]["pieces"], config["model"]["encoder"]["d_model"]
        self.blank = pieces
        self.heads = Heads(width, pieces, len(corpus.phones))
        first = [[clip] for clip in range(16)]
        sample = assemble(
            corpus, first, np.random.default_rng(0), change=False, stretch_known=False
        )
        unit_variance(self.model, sample.mel, sample.frames)
        self.model.to(self.device)
        self.heads.to(self.device)
        self.parameters = [*self.model.parameters(), *self.heads.parameters()]
        self.optimizer = torch.optim.AdamW(
            [
                {
                    "params": [p for p in self.parameters if p.dim() > 1],
                    "weight_decay": self.schedule["weight_decay"],
                },
                {"params": [p for p in self.parameters if p.dim() <= 1], "weight_decay": 0.0},
            ],
            betas=tuple(self.schedule["betas"]),
            fused=True,
        )

    def step(self, number: int, groups: list[list[int]]) -> dict[str, float]:
        """One update; returns what is worth logging."""
        random.seed(f"{self.seed}-{number}")
        torch.manual_seed(self.seed * 1_000_003 + number)
        rng = np.random.default_rng((self.seed, number))
        progress = number / self.schedule["steps"]
        start, phone = self.schedule["start"], self.schedule["phone"]
        starting = number < int(start["until"] * self.schedule["steps"])
        batch = assemble(
            self.corpus, groups, rng, change=not starting, stretch_known=progress >= phone["gone"]
        )
        transducer, ctc, phones = self.losses(batch)
        phone_weight = phone["weight"] * _falling(progress, phone["until"], phone["gone"])
        stage = start if starting else self.schedule["rest"]
        loss = stage["transducer_weight"] * transducer + stage["ctc_weight"] * ctc
        loss = loss + phone_weight * phones

        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.schedule, number)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(self.parameters, self.schedule["clip_norm"])
        if torch.isfinite(norm):
            self.optimizer.step()
        return {
            "transducer": transducer.item(),
            "ctc": ctc.item(),
            "phone": phones.item(),
            "norm": norm.item(),
            "audio": batch.frames.sum().item() / FRAMES_PER_SECOND,
        }

    def losses(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """Transducer and CTC losses for each piece, and phone cross-entropy for each label."""
        model, device = self.model.train(), self.device
        mel, frames = batch.mel.to(device), batch.frames.to(device)
        tokens, labels = batch.tokens.to(device), batch.labels.to(device)
        with torch.autocast(device.type, dtype=torch.bfloat16):
            encoded, lengths = model.encoder(audio_signal=mel, length=frames)
            encoded = encoded.transpose(1, 2)
            predicted, *_ = model.decoder(targets=tokens, target_length=labels)
            left = model.joint.enc(encoded)[:, :, None]
            right = model.joint.pred(predicted.transpose(1, 2))[:, None]
            logits = model.joint.joint_net(left + right)
            ctc_logits, phone_logits = self.heads.ctc(encoded), self.heads.phone(encoded)
        pieces = labels.sum()
        cost = transducer_loss(
            logits.float(),
            tokens,
            lengths,
            labels,
            blank=self.blank,
            fastemit=self.schedule["fastemit"],
        )
        ctc = nn.functional.ctc_loss(
            ctc_logits.float().log_softmax(-1).transpose(0, 1),
            tokens,
            lengths,
            labels,
            blank=self.blank,
            reduction="sum",
            zero_infinity=True,
        )
        known = batch.phones[:, : encoded.shape[1]].reshape(-1).to(device)
        phones = nn.functional.cross_entropy(
            phone_logits.float().reshape(len(known), -1),
            known,
            ignore_index=UNKNOWN_PHONE,
            reduction="sum",
        ) / (known != UNKNOWN_PHONE).sum().clamp(min=1)
        return cost.sum() / pieces, ctc / pieces, phones

    def save(self, path: Path, done: int) -> None:
        """Write the checkpoint under its name only when it is complete."""
        partial = path.with_suffix(".part")
        state = {
            "done": done,
            "model": self.model.state_dict(),
            "heads": self.heads.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }
        torch.save(state, partial)
        partial.rename(path)

    def load(self, path: Path) -> int:
        """Take up a checkpoint; returns the number of steps it has done."""
        state = torch.load(path, map_location=self.device, weights_only=True)
        self.model.load_state_dict(state["model"])
        self.heads.load_state_dict(state["heads"])
        self.optimizer.load_state_dict(state["optimizer"])
        return state["done"]


def learning_rate(schedule: dict[str, Any], step: int) -> float:
    """Linear warm-up, flat, then a cosine down to a small share of the peak."""
    rate = schedule["rate"]
    warm = min(1.0, (step + 1) / rate["warm_up_steps"])
    share = (step / schedule["steps"] - rate["flat_until"]) / (1 - rate["flat_until"])
    cosine = 0.5 * (1 + math.cos(math.pi * min(1.0, max(0.0, share))))
    return rate["peak"] * warm * (rate["last"] + (1 - rate["last"]) * cosine)


def _falling(progress: float, full_until: float, gone: float) -> float:
    return min(1.0, max(0.0, (gone - progress) / (gone - full_until)))


def main() -> None:
    """Train to the end of the schedule, or export the last checkpoint as it is."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--export-only", action="store_true", help="export the last checkpoint")
    arguments = parser.parse_args()
    config = settings.load()
    cache = settings.cache(config)
    corpus = Corpus(cache / "shards", cache / "tokenizer")
    trainer = Trainer(config, corpus, cache)
    checkpoint, target = cache / "checkpoint.pt", settings.HERE / "demo.nemo"
    done = trainer.load(checkpoint) if checkpoint.exists() else 0
    if not arguments.export_only:
        run(trainer, config, checkpoint, done)
    export(trainer.model, cache / "tokenizer", target)


def run(trainer: Trainer, config: dict[str, Any], checkpoint: Path, done: int) -> None:
    """All remaining steps, with a log line now and then."""
    schedule = config["training"]
    glance = Glance(config)
    steps = list(plan(trainer.corpus, schedule, config["seed"]))
    hours = sum(len(item.mel) for item in trainer.corpus.items) / (3600 * FRAMES_PER_SECOND)
    _log(f"{len(trainer.corpus.items)} clips, {hours:.2f} h, {len(steps)} steps, from {done}")
    saved = glanced = time.monotonic()
    audio, since, average = 0.0, time.monotonic(), {}
    for number in range(done, len(steps)):
        result = trainer.step(number, steps[number])
        audio += result.pop("audio")
        for name, value in result.items():
            average[name] = average.get(name, 0.0) + value / schedule["log_steps"]
        now = time.monotonic()
        if (number + 1) % schedule["log_steps"] == 0:
            losses = " ".join(f"{name} {value:.3f}" for name, value in average.items())
            _log(f"step {number + 1} {losses} {audio / (now - since):.0f}x real time")
            audio, since, average = 0.0, now, {}
        if now - saved > schedule["checkpoint_minutes"] * 60:
            trainer.save(checkpoint, number + 1)
            saved = now
        if now - glanced > schedule["glance_minutes"] * 60:
            _log(f"step {number + 1} {glance(trainer.model)}")
            glanced = now
    trainer.save(checkpoint, len(steps))
    _log(f"done: {glance(trainer.model)}")


def _log(message: str) -> None:
    print(time.strftime("%H:%M:%S", time.gmtime()), message, flush=True)


if __name__ == "__main__":
    main()
