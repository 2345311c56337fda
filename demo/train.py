"""`python -m demo.train`: train the demo model and export it to demo/demo.nemo.

A step is a fixed number of parts, which as many processes work on at once (on a GPU one process
works on all), and every part draws its randomness from the seed, its step and its own number. So
a killed training, started again, goes on from its last checkpoint as if nothing had happened.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import socket
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, distributed, nn

from demo import config as settings
from demo.batches import LABELS, UNKNOWN_PHONE, Batch, Corpus, Group, Parts, plan
from demo.features import FRAMES_PER_SECOND, write_shards
from demo.glance import Glance
from demo.grow import grow
from demo.initial import initial_checkpoint, read_weights
from demo.model import between, build, export, plain_weights
from demo.transducer_loss import transducer_loss


class Heads(nn.Module):
    """The auxiliary outputs that only training has: CTC pieces, and phones of a middle layer."""

    def __init__(self, width: int, pieces: int, phones: int) -> None:
        super().__init__()
        self.ctc = nn.Linear(width, pieces + 1)
        self.phone = nn.Linear(width, LABELS * phones)


class Trainer:
    """The model with its optimizer, and the one operation on them: a step."""

    def __init__(self, config: dict[str, Any], corpus: Corpus, tokenizer: Path) -> None:
        self.schedule, self.seed = config["training"], config["seed"]
        self.corpus = corpus
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        torch.backends.cudnn.allow_tf32 = False  # raw log-mel has a large mean
        torch.manual_seed(self.seed)
        self.model = build(config, tokenizer, *corpus.statistics())
        pieces, width = config["tokenizer"]["pieces"], config["model"]["encoder"]["d_model"]
        # NeMo would exchange lengths at every call, which the looks of one process would break.
        self.model.encoder.sync_max_audio_length = False
        self.blank = pieces
        self.heads = Heads(width, pieces, len(corpus.phones))
        self.middle: Tensor | None = None
        layer = self.model.encoder.layers[self.schedule["phone"]["layer"] - 1]
        layer.register_forward_hook(self._note_middle)
        self.model.to(self.device)
        self.heads.to(self.device)
        self.parameters = [*self.model.parameters(), *self.heads.parameters()]
        decay = self.schedule["weight_decay"]
        matrices = [p for p in self.parameters if p.dim() > 1]
        others = [p for p in self.parameters if p.dim() <= 1]
        self.optimizer = torch.optim.AdamW(
            [{"params": matrices, "weight_decay": decay}, {"params": others, "weight_decay": 0.0}],
            betas=tuple(self.schedule["betas"]),
            fused=True,
        )

    def _note_middle(self, _layer: nn.Module, _inputs: object, output: Tensor) -> None:
        self.middle = output

    def feed(self, steps: list[list[list[Group]]], done: int) -> Iterator[Batch]:
        """The batches of this process from step `done` on, in the order that `step` takes them.

        Beside a GPU the cores have nothing else to do than to prepare them.
        """
        rank, processes = _rank_and_processes()
        places = [
            (step, part)
            for step in range(done, len(steps))
            for part in range(rank, len(steps[step]), processes)
        ]
        workers = 0 if self.device.type == "cpu" else max(1, len(os.sched_getaffinity(0)) - 2)
        return Parts(self.corpus, steps, self.seed).in_order(places, workers)

    def step(
        self, number: int, parts: list[list[Group]], batches: Iterator[Batch]
    ) -> dict[str, Tensor]:
        """One update, this process's share of the parts here; returns what is worth logging."""
        weights = self.schedule["weights"]
        tokens = sum(
            len(self.corpus.items[clip].tokens) for groups in parts for g in groups for clip in g
        )
        self.optimizer.zero_grad(set_to_none=True)
        sums: dict[str, Tensor] = defaultdict(lambda: torch.zeros(()))
        rank, processes = _rank_and_processes()
        for part in range(rank, len(parts), processes):
            random.seed(f"{self.seed}-{number}-{part}")
            torch.manual_seed((self.seed * 1_000_003 + number) * len(parts) + part)
            batch = next(batches)
            losses = self.losses(batch)
            sum(weights[name] * loss / tokens for name, loss in losses.items()).backward()
            for name, loss in losses.items():
                sums[name] = sums[name] + loss.detach() / tokens * processes
            sums["audio"] = sums["audio"] + batch.frames.sum() / FRAMES_PER_SECOND * processes
        if processes > 1:
            self._share_gradients()
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.schedule, number)
        norm = nn.utils.clip_grad_norm_(self.parameters, self.schedule["clip_norm"])
        if torch.isfinite(norm):
            self.optimizer.step()
        return sums | {"norm": norm}

    def _share_gradients(self) -> None:
        """Add up the gradients of all processes, in one message."""
        gradients = [p.grad if p.grad is not None else torch.zeros_like(p) for p in self.parameters]
        message = torch.cat([gradient.reshape(-1) for gradient in gradients])
        distributed.all_reduce(message)
        start = 0
        for parameter, gradient in zip(self.parameters, gradients, strict=True):
            parameter.grad = message[start : start + gradient.numel()].view_as(gradient)
            start += gradient.numel()

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Sums: transducer and CTC losses over pieces, phone cross-entropy for each of them."""
        model, device = self.model.train(), self.device
        mel, frames = batch.mel.to(device), batch.frames.to(device)
        tokens, labels = batch.tokens.to(device), batch.labels.to(device)
        with torch.autocast(device.type, dtype=torch.bfloat16):
            encoded, lengths = model.encoder(audio_signal=mel, length=frames)
            encoded = encoded.transpose(1, 2)
            predicted, *_ = model.decoder(targets=self._misheard(tokens), target_length=labels)
            left = model.joint.enc(encoded)[:, :, None]
            right = model.joint.pred(predicted.transpose(1, 2))[:, None]
            logits = model.joint.joint_net(left + right)
            ctc_logits, phone_logits = self.heads.ctc(encoded), self.heads.phone(self.middle)
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
        )
        share = labels.sum() / (known != UNKNOWN_PHONE).sum().clamp(min=1)
        return {"transducer": cost.sum(), "ctc": ctc, "phone": phones * share}

    def _misheard(self, tokens: Tensor) -> Tensor:
        """What the prediction network is told: some pieces are others, lest it learns the texts."""
        others = torch.randint_like(tokens, self.blank)
        wrong = torch.rand(tokens.shape, device=tokens.device) < self.schedule["wrong_pieces"]
        return torch.where(wrong, others, tokens)

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


def _rank_and_processes() -> tuple[int, int]:
    if not distributed.is_initialized():
        return 0, 1
    return distributed.get_rank(), distributed.get_world_size()


def main() -> None:
    """Train to the end of the schedule, or export the last checkpoint as it is."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--export-only", action="store_true", help="export the last checkpoint")
    arguments = parser.parse_args()
    config = settings.load()
    cache = settings.cache(config)
    write_shards(config, cache)
    if not arguments.export_only:
        parts, cores = config["training"]["parts"], len(os.sched_getaffinity(0))
        processes = 1 if torch.cuda.is_available() else math.gcd(parts, cores)
        torch.multiprocessing.spawn(work, (processes, _free_port()), processes)
    corpus = Corpus(cache / "shards", cache / "tokenizer")
    trainer = Trainer(config, corpus, cache / "tokenizer")
    start(trainer, config, cache)
    first = plain_weights(trainer.model)
    trainer.load(cache / "checkpoint.pt")
    weights = between(first, plain_weights(trainer.model), config["training"]["initial"]["share"])
    export(trainer.model, weights, cache / "tokenizer", settings.HERE / "demo.nemo")


def start(trainer: Trainer, config: dict[str, Any], cache: Path) -> None:
    """Take up the weights of the initial checkpoint."""
    weights = read_weights(initial_checkpoint(config, cache))
    grow(trainer.model, weights, config["training"]["initial"]["layers"])


def work(rank: int, processes: int, port: int) -> None:
    """One process of a training."""
    config = settings.load()
    cache = settings.cache(config)
    if processes > 1:
        torch.set_num_threads(1)
        address = f"tcp://127.0.0.1:{port}"
        distributed.init_process_group("gloo", init_method=address, rank=rank, world_size=processes)
    corpus = Corpus(cache / "shards", cache / "tokenizer")
    trainer = Trainer(config, corpus, cache / "tokenizer")
    checkpoint = cache / "checkpoint.pt"
    if checkpoint.exists():
        done = trainer.load(checkpoint)
    else:
        done = 0
        start(trainer, config, cache)
    steps = list(plan(corpus, config["training"], config["seed"]))
    if rank == 0:
        run(trainer, steps, done, Record(config, cache))
    else:
        batches = trainer.feed(steps, done)
        for number in range(done, len(steps)):
            trainer.step(number, steps[number], batches)


class Record:
    """What the first process keeps of a training: the curve, and the checkpoint to go on from."""

    def __init__(self, config: dict[str, Any], cache: Path) -> None:
        self.curve, self.checkpoint = cache / "curve.jsonl", cache / "checkpoint.pt"
        self.glance = Glance(config)

    def look(self, trainer: Trainer, done: int, losses: dict[str, float]) -> None:
        """Keep the checkpoint and add a point to the curve."""
        rates, shown = self.glance(trainer.model)
        trainer.save(self.checkpoint, done)
        with self.curve.open("a") as file:
            file.write(json.dumps({"steps": done, **losses, **rates}) + "\n")
        _log(f"step {done} {rates} {shown}")


def run(trainer: Trainer, steps: list[list[list[Group]]], done: int, record: Record) -> None:
    """All remaining steps, with a log line and a point of the curve now and then."""
    schedule = trainer.schedule
    hours = sum(len(item.mel) for item in trainer.corpus.items) / (3600 * FRAMES_PER_SECOND)
    _log(f"{len(trainer.corpus.items)} clips, {hours:.2f} h, {len(steps)} steps, from {done}")
    if done == 0:
        record.look(trainer, 0, {})
    looked = since = time.monotonic()
    results: list[dict[str, Tensor]] = []
    batches = trainer.feed(steps, done)
    for number in range(done, len(steps)):
        results.append(trainer.step(number, steps[number], batches))
        last = number + 1 == len(steps)
        if (number + 1) % schedule["log_steps"] and not last:
            continue
        now = time.monotonic()
        sums = {name: float(sum(result[name] for result in results)) for name in results[0]}
        speed = sums.pop("audio") / (now - since)
        losses = {name: round(value / len(results), 4) for name, value in sums.items()}
        _log(f"step {number + 1} {losses} {speed:.0f}x real time")
        if last or now - looked > schedule["look_minutes"] * 60:
            record.look(trainer, number + 1, losses)
            looked = now
        results.clear()
        since = time.monotonic()


def _log(message: str) -> None:
    print(time.strftime("%H:%M:%S", time.gmtime()), message, flush=True)


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


if __name__ == "__main__":
    main()
