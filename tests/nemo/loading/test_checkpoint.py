"""A .nemo file is opened without trusting it."""

from __future__ import annotations

import gzip
import io
import os
import pickle
import shutil
import tarfile
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from nemo.collections.asr.models import ASRModel

from quantkit.core.errors import InputError
from quantkit.nemo.loading.checkpoint import load_checkpoint, nemo_errors_only
from tests.models.pieces import tokenizer_model, write_tokenizer
from tests.models.random_model import build_model
from tests.models.shape import SMALL
from tests.nemo.loading.hostile import Parts, sound_parts

pytestmark = pytest.mark.slow


def archive(path: Path, entries: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w") as tar:
        for name, content in entries.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


def weights(state: object) -> bytes:
    file = io.BytesIO()
    torch.save(state, file)
    return file.getvalue()


def refusal(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        load_checkpoint(path)
    message = str(caught.value)
    assert str(path) in message
    return message


def test_the_demo_model_is_restored_with_its_values(demo_checkpoint: Path) -> None:
    model = load_checkpoint(demo_checkpoint)
    assert not model.training
    with tarfile.open(demo_checkpoint) as opened:
        content = opened.extractfile("model_weights.ckpt")
        assert content is not None
        stored = torch.load(io.BytesIO(content.read()), weights_only=True)
    restored = model.state_dict()
    assert stored.keys() == restored.keys()
    assert all(torch.equal(stored[name].to(restored[name]), restored[name]) for name in stored)


@pytest.fixture
def sound() -> Parts:
    return sound_parts()


#: What a checkpoint says of its training, as NeMo's configurations do.
TRAINING = {
    "train_ds": {
        "manifest_filepath": "train.json",
        "sample_rate": "${sample_rate}",
        "tarred_audio_filepaths": ["audio__OP_0..511_CL_.tar"],
        "input_cfg": [{"type": "nemo_tarred", "weight": 0.5}],
        "defer_setup": True,
    },
    "spec_augment": {
        "_target_": "nemo.collections.asr.modules.SpectrogramAugmentation",
        "freq_masks": 2,
        "time_masks": 10,
        "freq_width": 27,
        "time_width": 0.05,
    },
    "optim": {
        "name": "adamw",
        "lr": 5.0,
        "sched": {"name": "NoamAnnealing", "d_model": "${encoder.d_model}"},
    },
    "decoding.beam": {"beam_size": 2, "return_best_hypothesis": False},
}


@pytest.mark.parametrize("hybrid", [False, True])
def test_what_nemo_saves_is_restored_as_nemo_does(tmp_path: Path, hybrid: bool) -> None:
    model = build_model(replace(SMALL, layers=1, hybrid=hybrid), overrides=TRAINING)
    Path(model.tokenizer_dir).mkdir()  # NeMo copies it from where it was
    write_tokenizer(tokenizer_model(SMALL.pieces), Path(model.tokenizer_dir))
    path = tmp_path / "model.nemo"
    with nemo_errors_only():
        model.save_to(str(path))
        shutil.rmtree(model.tokenizer_dir)
        theirs = ASRModel.restore_from(str(path), map_location="cpu")
    if hybrid:  # as older NeMo packed them
        path.write_bytes(gzip.compress(path.read_bytes()))
    ours = load_checkpoint(path)
    assert type(ours) is type(theirs)
    expected = dict(theirs.named_buffers()) | theirs.state_dict()
    found = dict(ours.named_buffers()) | ours.state_dict()
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    assert ours.tokenizer.tokenizer.serialized_model_proto() == (
        theirs.tokenizer.tokenizer.serialized_model_proto()
    )
    assert type(ours.decoding.decoding) is type(theirs.decoding.decoding)


def test_plain_references_are_followed(sound: Parts, tmp_path: Path) -> None:
    sound.config["model_defaults"]["enc_hidden"] = "${encoder.d_model}"
    sound.config["encoder"]["d_model"] = "${width}"
    sound.config["width"] = SMALL.width
    sound.write(tmp_path / "model.nemo")
    assert load_checkpoint(tmp_path / "model.nemo").encoder.d_model == SMALL.width


def test_a_full_disk_is_told_as_one(
    sound: Parts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sound.write(tmp_path / "model.nemo")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=10))
    with pytest.raises(InputError, match=f"free in {tempfile.gettempdir()}"):
        load_checkpoint(tmp_path / "model.nemo")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    assert "no such file" in refusal(tmp_path / "absent.nemo")


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.999])
def test_a_truncated_file_is_refused(demo_checkpoint: Path, tmp_path: Path, share: float) -> None:
    content = demo_checkpoint.read_bytes()
    path = tmp_path / "short.nemo"
    path.write_bytes(content[: int(share * len(content))])
    refusal(path)


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "notes.nemo"
    path.write_text("no archive at all " * 100)
    assert "not a complete .nemo file" in refusal(path)


@pytest.mark.parametrize("name", ["../outside", "/etc/outside", "a/../../outside"])
def test_an_entry_that_leaves_the_archive_is_refused(tmp_path: Path, name: str) -> None:
    path = archive(tmp_path / "model.nemo", {name: b"x"})
    assert name in refusal(path)


def test_links_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.nemo"
    with tarfile.open(path, "w") as tar:
        member = tarfile.TarInfo("model_config.yaml")
        member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(member)
    assert "neither a file nor a directory" in refusal(path)


def test_an_archive_of_something_else_is_refused(tmp_path: Path) -> None:
    path = archive(tmp_path / "model.nemo", {"readme.txt": b"hello"})
    assert "readme.txt" in refusal(path)


class Intruder:
    """Unpickling this would run a command."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, (f"touch {self.target}",)


@pytest.mark.parametrize("wrap", [weights, pickle.dumps])
def test_a_pickle_with_code_is_refused_and_not_run(
    tmp_path: Path, wrap: Callable[[object], bytes]
) -> None:
    target = tmp_path / "intruded"
    path = archive(
        tmp_path / "model.nemo",
        {"model_config.yaml": b"{}", "model_weights.ckpt": wrap({"w": Intruder(target)})},
    )
    refusal(path)
    assert not target.exists()
