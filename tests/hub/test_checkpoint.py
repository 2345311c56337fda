"""Checkpoints by their name on a hub, and hubs that answer what no hub answers."""

import hashlib
from pathlib import Path

import pytest
from huggingface_hub import constants

from quantkit.build.checkpoint import find_checkpoint
from quantkit.core.errors import InputError
from quantkit.recipe.source import HubSource
from tests.hub.hub import Blob

CONTENT = b"a checkpoint"


def _put(hub, *names: str) -> None:
    repo = hub.add("org/model")
    blob = Blob(len(CONTENT), hashlib.sha256(CONTENT).hexdigest(), CONTENT)
    repo.commits["0" * 40] |= dict.fromkeys(names, blob)


def test_a_checkpoint_is_downloaded_once(hub) -> None:
    _put(hub, "model.nemo", "README.md")
    found = find_checkpoint(HubSource("org/model", "main"))
    assert found.path.read_bytes() == CONTENT
    assert (found.name, found.revision) == ("hf://org/model", "main")
    hub.requests.clear()
    assert find_checkpoint(HubSource("org/model", "0" * 40)).path == found.path
    assert hub.requests == []


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["../../outside.nemo"], r"found '\.\./\.\./outside\.nemo', accepted: names without"),
        (["/outside.nemo"], "accepted: names without a folder"),
        (["a\x1b[31m.nemo"], r"found 'a\\x1b\[31m\.nemo'"),
        (["a.nemo", "b.nemo"], r"holds 2 \.nemo files \(a\.nemo, b\.nemo\)"),
        ([], r"holds 0 \.nemo files \(none\)"),
    ],
)
def test_names_are_checked_before_they_are_paths(hub, tmp_path, names, said) -> None:
    _put(hub, *names)
    before = set(tmp_path.rglob("*"))
    with pytest.raises(InputError, match=said):
        find_checkpoint(HubSource("org/model", "main"))
    assert set(tmp_path.rglob("*")) == before


def test_a_commit_is_checked_before_it_is_a_path(hub, tmp_path) -> None:
    _put(hub, "model.nemo")
    repo = hub.repos["org/model"]
    repo.branches["main"] = "../../../outside"
    repo.commits["../../../outside"] = repo.commits["0" * 40]
    with pytest.raises(InputError, match=r"model\.source: .*'\.\./.*is the commit, which is none"):
        find_checkpoint(HubSource("org/model", "main"))
    assert not list(Path(tmp_path).rglob("*outside*"))


def test_a_repository_that_is_not_there(hub) -> None:
    with pytest.raises(InputError, match=r"model\.source: hf://org/none@main: cannot get it"):
        find_checkpoint(HubSource("org/none", "main"))


def test_a_hub_that_does_not_answer(hub, monkeypatch) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(InputError, match=r"model\.source: hf://org/none@main: cannot get it: .*"):
        find_checkpoint(HubSource("org/none", "main"))
