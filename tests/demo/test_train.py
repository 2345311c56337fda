"""Training goes on where it was killed, and is the same in one process and in two."""

import copy
import socket
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import distributed
from torch.multiprocessing.spawn import spawn

from demo import config as settings
from demo.augment import pace
from demo.batches import LABEL_FRAMES, UNKNOWN_PHONE, Corpus, Parts, assemble, plan
from demo.features import FRAMES_PER_SECOND, write_shard
from demo.train import Trainer

WORDS = ["there", "is", "a", "light", "in", "the", "window", "of", "her", "house"]


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two sources of noise that says random words; one tells its phones."""
    folder = tmp_path_factory.mktemp("shards")
    rng = np.random.default_rng(0)
    for source, phones in (("game", []), ("flite-rms", [("AA", 0.5), ("SIL", 9.0)])):
        clips = [
            (" ".join(rng.choice(WORDS, 4)), f"{source}-{n % 3}", rng.random(seconds), phones)
            for n, seconds in enumerate(rng.integers(150, 400, size=20))
        ]
        write_shard(folder / f"{source}-000", clips, lambda samples: noise(len(samples)))
    return folder


def noise(frames: int) -> np.ndarray:
    return np.random.default_rng(frames).normal(-10, 4, size=(frames, 128))


@pytest.fixture(scope="module")
def config() -> dict[str, Any]:
    config = copy.deepcopy(settings.load())
    model = config["model"]
    model["encoder"] |= {"n_layers": 2, "d_model": 32, "subsampling_conv_channels": 16}
    model["model_defaults"] = {"enc_hidden": 32, "pred_hidden": 32, "joint_hidden": 32}
    model["decoder"]["prednet"]["pred_hidden"] = 32
    model["joint"]["jointnet"] |= {"joint_hidden": 32, "encoder_hidden": 32, "pred_hidden": 32}
    config["training"] |= {"steps": 4, "parts": 2, "part_seconds": 12, "phone": {"layer": 1}}
    return config


@pytest.fixture(scope="module")
def corpus(shards: Path, tokenizer: Path) -> Corpus:
    return Corpus(shards, tokenizer)


def test_plan_fills_parts_and_repeats_sources(corpus: Corpus, config: dict[str, Any]) -> None:
    schedule = config["training"] | {"steps": 8, "repeats": {"game": 3}}
    steps = list(plan(corpus, schedule, seed=1))
    assert [len(parts) for parts in steps] == [schedule["parts"]] * 8
    assert steps == list(plan(corpus, schedule, seed=1))
    heard: dict[str, int] = {}
    for groups in (groups for parts in steps for groups in parts):
        frames = [sum(len(corpus.items[clip].mel) for clip in group) for group in groups]
        budget = schedule["part_seconds"] * FRAMES_PER_SECOND
        assert len(groups) == 1 or len(groups) * max(frames) <= budget
        for clip in (clip for group in groups for clip in group):
            source = corpus.items[clip].source
            heard[source] = heard.get(source, 0) + 1
    assert heard["game"] > 1.5 * heard["flite-rms"]


def test_batches_do_not_depend_on_who_prepares_them(corpus: Corpus, config: dict[str, Any]) -> None:
    parts = Parts(corpus, list(plan(corpus, config["training"], seed=1)), seed=1)
    places = [(0, 0), (1, 0), (2, 0)]
    for alone, ahead in zip(parts.in_order(places, 0), parts.in_order(places, 2), strict=True):
        assert torch.equal(alone.mel, ahead.mel)
        assert torch.equal(alone.tokens, ahead.tokens)


def test_phones_follow_the_tempo(corpus: Corpus) -> None:
    item = next(item for item in corpus.items if item.source == "flite-rms")
    index = corpus.items.index(item)
    assert (item.phones[: 50 // LABEL_FRAMES] == corpus.phones.index("AA")).all()
    for seed in range(5):
        batch = assemble(corpus, [[index]], np.random.default_rng(seed))
        changes = batch.phones[0].flatten().diff()
        places = pace(len(item.mel), 0, np.random.default_rng(seed))
        assert len(places) == batch.frames[0]
        (last,) = torch.nonzero((changes != 0) & (batch.phones[0].flatten()[:-1] == 0))[0].tolist()
        # The change is drawn to a grid of one label twice: before stretching and after.
        assert abs((last + 1 - 2) * LABEL_FRAMES - np.searchsorted(places, 50)) <= 2 * LABEL_FRAMES
        assert (batch.phones[0, 0] == UNKNOWN_PHONE).all()


def test_prediction_network_mishears(
    corpus: Corpus, config: dict[str, Any], tokenizer: Path
) -> None:
    trainer = Trainer(config, corpus, tokenizer)
    told = trainer._misheard(torch.full((100, 100), 7))
    wrong = told[told != 7]
    assert len(wrong) / told.numel() == pytest.approx(config["training"]["wrong_pieces"], rel=0.2)
    assert 0 <= wrong.min() < wrong.max() < trainer.blank


def train(trainer: Trainer, first: int, last: int) -> torch.Tensor:
    steps = list(plan(trainer.corpus, trainer.schedule, seed=1))
    batches = trainer.feed(steps, first)
    for number in range(first, last):
        trainer.step(number, steps[number], batches)
    return torch.cat([p.detach().reshape(-1) for p in trainer.parameters])


@pytest.mark.slow
def test_resumes_exactly(
    corpus: Corpus, config: dict[str, Any], tokenizer: Path, tmp_path: Path
) -> None:
    torch.set_num_threads(1)
    through = Trainer(config, corpus, tokenizer)
    start = torch.cat([p.detach().reshape(-1) for p in through.parameters])
    expected = train(through, 0, 3)
    assert not torch.equal(start, expected)
    killed = Trainer(config, corpus, tokenizer)
    train(killed, 0, 2)
    killed.save(tmp_path / "checkpoint.pt", 2)
    resumed = Trainer(config, corpus, tokenizer)
    assert resumed.load(tmp_path / "checkpoint.pt") == 2
    assert torch.equal(train(resumed, 2, 3), expected)


@pytest.mark.slow
def test_two_processes_train_as_one(
    shards: Path, corpus: Corpus, config: dict[str, Any], tokenizer: Path, tmp_path: Path
) -> None:
    torch.set_num_threads(1)
    alone = train(Trainer(config, corpus, tokenizer), 0, 2)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    arguments = (port, config, shards, tokenizer, tmp_path)
    spawn(one_of_two, arguments, nprocs=2)
    first, second = (torch.load(tmp_path / f"{rank}.pt") for rank in range(2))
    assert torch.equal(first, second)
    # AdamW's first steps are a rate times a gradient's sign, so a gradient of rounding size may
    # move a weight by up to a rate of the warm-up the other way.
    rate = config["training"]["rate"]["peak"] / config["training"]["rate"]["warm_up_steps"]
    assert (first - alone).abs().max() <= 2 * (1 + 2) * rate
    assert (first - alone).abs().mean() < 0.01 * rate


def one_of_two(
    rank: int, port: int, config: dict[str, Any], shards: Path, tokenizer: Path, folder: Path
) -> None:
    torch.set_num_threads(1)
    address = f"tcp://127.0.0.1:{port}"
    distributed.init_process_group("gloo", init_method=address, rank=rank, world_size=2)
    trained = train(Trainer(config, Corpus(shards, tokenizer), tokenizer), 0, 2)
    torch.save(trained, folder / f"{rank}.pt")
