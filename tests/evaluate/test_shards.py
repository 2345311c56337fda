"""Shards: complete, in order, of about the same cost, the same whatever is done already."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from quantkit.evaluate import shards
from quantkit.evaluate.system import NemoSystem
from quantkit.speech.utterances import SuiteUtterance

SPEECH = st.lists(
    st.tuples(st.sampled_from("abc"), st.floats(0.1, 400)), min_size=1, max_size=60
).map(
    lambda drawn: [
        SuiteUtterance(name, str(i), Path(f"{i}.wav"), "", seconds, str(i))
        for i, (name, seconds) in enumerate(drawn)
    ]
)


@given(SPEECH)
def test_every_utterance_is_in_one_shard_of_its_set(speech: list[SuiteUtterance]) -> None:
    cut = shards.cut(speech)
    assert all(len({one.set_name for one in piece}) == 1 for piece in cut)
    for name in {one.set_name for one in speech}:
        pieces = [piece for piece in cut if piece[0].set_name == name]
        assert [one for piece in pieces for one in piece] == [
            one for one in speech if one.set_name == name
        ]


@given(SPEECH)
def test_a_shard_exceeds_its_cost_by_halves_of_its_ends_at_most(
    speech: list[SuiteUtterance],
) -> None:
    for piece in shards.cut(speech):
        costs = [one.duration_s + shards.UTTERANCE_S for one in piece]
        assert sum(costs) <= shards.SHARD_S + (costs[0] + costs[-1]) / 2 + 1e-6


@given(SPEECH, st.data())
def test_cuts_and_names_do_not_depend_on_what_is_done(speech, data) -> None:
    """Whole shards being done, the others are those of the first run."""
    system = NemoSystem("PyTorch", Path("a.nemo"), "0", "streaming", 560)
    named = [shards.Shard(system, "r", piece) for piece in shards.cut(speech)]
    done = data.draw(st.sets(st.sampled_from([shard.name for shard in named])))
    known = {one.digest for shard in named if shard.name in done for one in shard.utterances}
    left = [tuple(one for one in piece if one.digest not in known) for piece in shards.cut(speech)]
    again = {shards.Shard(system, "r", piece).name for piece in left if piece}
    assert again == {shard.name for shard in named} - done


def test_a_deep_utterance_is_other_work() -> None:
    system = NemoSystem("PyTorch", Path("a.nemo"), "0", "streaming", 560)
    one = SuiteUtterance("a", "1", Path("1.wav"), "", 1.0, "1")
    shallow = shards.Shard(system, "r", (one,))
    assert shallow.name != shards.Shard(system, "r", (replace(one, deep=True),)).name
    assert str(shallow) == "PyTorch on set a, utterances 1 to 1"
