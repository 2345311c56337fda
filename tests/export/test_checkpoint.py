"""A .nemo file is opened without trusting it."""

from __future__ import annotations

import io
import os
import pickle
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from quantkit.core.errors import InputError
from quantkit.export.checkpoint import load_checkpoint, unpacked


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
    with unpacked(demo_checkpoint) as directory:
        stored = torch.load(directory / "model_weights.ckpt", weights_only=True)
    restored = model.state_dict()
    assert stored.keys() == restored.keys()
    assert all(torch.equal(stored[name].to(restored[name]), restored[name]) for name in stored)


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
