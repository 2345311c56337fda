"""What the hub may answer, and what its user is told."""

import re

import pytest
from huggingface_hub import constants

from quantkit.core.errors import InputError
from tests.hub.hub import TOKEN, Fault

#: A request of each step.
STEPS = [
    "GET /api/whoami-v2",
    "POST /api/repos/create",
    "GET /api/models/org/toy$",
    "POST .*/preupload/",
    "POST .*/objects/batch",
    "PUT /storage/",
    "POST /complete/",
    "POST .*/lfs/verify",
    "POST /api/validate-yaml",
    "POST .*/commit/",
    "GET .*/tree/",
    "HEAD .*/resolve/",
    "GET .*/resolve/",
]


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize(
    ("status", "headers", "least"),
    [(429, {"Retry-After": "7"}, 7), (503, {}, 1), (500, {}, 1)],
)
def test_passing_failures_are_waited_out(
    artifact, hub, run, waits, step, status, headers, least
) -> None:
    hub.faults.append(Fault(step, status, headers, times=2))
    assert run("publish", artifact, "--repo", "org/toy").code == 0
    assert hub.faults[0].times == 0
    # The client asks for the first HEAD without patience, then again with it.
    assert len(waits) == 2 - step.startswith("HEAD")
    assert min(waits) >= least
    assert len(hub.objects) == 7


def test_the_hubs_own_rate_limit_is_heeded(artifact, hub, run, waits) -> None:
    hub.faults.append(Fault("POST .*/commit/", 429, {"RateLimit": '"api";r=0;t=55'}))
    assert run("publish", artifact, "--repo", "org/toy").code == 0
    assert waits == [56.0]


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (Fault("whoami", 401, message="expired"), "the token is wrong or has expired"),
        (Fault("repos/create", 403, message="no rights"), "give it write access"),
        (Fault("preupload", 403, message="read-only token"), "403 read-only token"),
        (Fault("objects/batch", 507, message="over quota"), "free some storage"),
        (Fault("PUT /storage", 400, message="BadDigest"), "answered 400"),
        (Fault("POST .*/commit/", 413, message="too large"), "no files as large"),
        (Fault("POST .*/commit/", 402, message="pay"), "the account's storage or plan"),
        (Fault("GET .*/tree/", 418, message="teapot"), "answered 418 teapot"),
        (Fault("POST .*/commit/", 503, message="closed", times=99), "answered 503 closed"),
    ],
    ids=lambda value: value.where if isinstance(value, Fault) else "",
)
def test_lasting_failures_are_explained(artifact, hub, run, waits, fault, expected) -> None:
    hub.faults.append(fault)
    ran = run("publish", artifact, "--repo", "org/toy")
    assert ran.code == 2
    assert expected in ran.err
    assert ran.out == ""
    assert "Traceback" not in ran.err


@pytest.mark.slow
@pytest.mark.parametrize("step", STEPS)
def test_the_token_is_not_repeated_even_if_the_hub_does(artifact, hub, run, caplog, step) -> None:
    caplog.set_level("INFO")
    echo = {"X-Error-Message": f"{TOKEN} may not"}
    hub.faults.append(Fault(step, 403, echo, f"no: {TOKEN}", times=2))
    ran = run("publish", artifact, "--repo", "org/toy")  # which looks for the token everywhere
    assert ran.code == 2
    assert "<token>" in ran.err
    with pytest.raises(InputError, match="<token>") as caught:
        run("publish", artifact, "--repo", "org/toy", "--debug")
    assert TOKEN not in str(caught.getrepr(chain=True))


def test_what_the_newer_storage_refuses_is_explained_too(artifact, hub, run, monkeypatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", False)
    hub.faults.append(Fault("xet-write-token", 403, message=f"no: {TOKEN}"))
    ran = run("publish", artifact, "--repo", "org/toy")
    assert ran.code == 2
    assert re.search(r"403 Forbidden.*; the token may not do this; give it write access", ran.err)


@pytest.mark.parametrize(
    ("lie", "expected"),
    [
        ({"encoder.onnx.data": {"size": 5}}, r"encoder\.onnx\.data: found 5 bytes, sent 2800000"),
        (
            {"joint.onnx.data": {"lfs": {"oid": "7" * 64, "size": 400_000, "pointerSize": 9}}},
            r"joint\.onnx\.data: found sha256 777777777777, sent ",
        ),
        (
            {"tokens.txt": {"path": "tokens.tx"}},
            r"tokens\.txt: is missing(.|\n)*tokens\.tx: was not",
        ),
    ],
)
def test_a_difference_on_the_hub_is_named(artifact, hub, run, lie, expected) -> None:
    hub.lies = lie
    ran = run("publish", artifact, "--repo", "org/toy")
    assert ran.code == 2
    assert re.search(expected, ran.err)


def test_a_small_file_that_differs_on_the_hub_is_named(artifact, hub, run) -> None:
    hub.tampered["tokens.txt"] = b"b 0\n"
    ran = run("publish", artifact, "--repo", "org/toy")
    assert ran.code == 2
    assert "tokens.txt: found sha256 " in ran.err


@pytest.mark.parametrize("repo", ["toy", "org/", "org/toy/x", "hf://org/toy", "org/t y"])
def test_names_that_are_no_repository(artifact, hub, run, repo) -> None:
    ran = run("publish", artifact, "--repo", repo)
    assert ran.code == 2
    assert f"--repo: found {repo!r}, accepted: ORGANISATION/NAME" in ran.err
    assert hub.requests == []


def test_without_a_token(artifact, hub, run, monkeypatch) -> None:
    monkeypatch.delenv("HF_TOKEN")
    ran = run("publish", artifact, "--repo", "org/toy")
    assert ran.code == 2
    assert "found no token" in ran.err


def test_an_expired_token(artifact, hub, run, monkeypatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_expired")
    ran = run("publish", artifact, "--repo", "org/toy")
    assert ran.code == 2
    assert "401" in ran.err
    assert "hf_expired" not in ran.err


def test_another_organisation(artifact, hub, run) -> None:
    ran = run("publish", artifact, "--repo", "others/toy")
    assert ran.code == 2
    assert "answered 403 no rights to create under others" in ran.err


@pytest.mark.parametrize(("private", "flag"), [(True, "--public"), (False, "--private")])
def test_who_sees_a_repository_is_not_changed(artifact, hub, run, private, flag) -> None:
    hub.add("org/toy", private=private)
    ran = run("publish", artifact, "--repo", "org/toy", flag)
    assert ran.code == 2
    assert f"say {'--private' if private else '--public'}" in ran.err
    assert not hub.objects
