from __future__ import annotations

import tarfile
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from quantkit.nemo.loading.checkpoint import load_checkpoint
from tests.models import random_model
from tests.models.pieces import tokenizer_model
from tests.models.random_model import build_model, save_model
from tests.models.shape import NEMOTRON, SMALL, SMALL_CHECKPOINT, ModelShape

pytestmark = pytest.mark.slow


def parameters(shape: ModelShape) -> int:
    return sum(parameter.numel() for parameter in build_model(shape).parameters())


def test_the_large_model_has_nemotrons_number_of_parameters(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(random_model, "_enliven", lambda _model, **_: None)  # counts need no values
    one, two = (parameters(replace(NEMOTRON, layers=layers)) for layers in (1, 2))
    assert one + (NEMOTRON.layers - 1) * (two - one) == 618_084_865


def test_a_seed_gives_the_same_file_and_another_seed_another(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("a.nemo", "b.nemo", "c.nemo")]
    for path, seed in zip(paths, (5, 5, 6), strict=True):
        save_model(build_model(SMALL, seed), path)
    contents = [path.read_bytes() for path in paths]
    assert contents[0] == contents[1] != contents[2]
    assert sorted(tmp_path.iterdir()) == paths


def test_the_small_checkpoint_is_what_a_seed_gives(tmp_path: Path) -> None:
    made = build_model(SMALL).state_dict()
    kept = load_checkpoint(SMALL_CHECKPOINT).state_dict()
    assert made.keys() == kept.keys()
    for name, values in made.items():  # the blank's bias is searched for, on any processor
        torch.testing.assert_close(values, kept[name], rtol=0, atol=1e-4)


def test_a_file_is_restored_as_it_was_and_names_no_directory(tmp_path: Path) -> None:
    shape = replace(SMALL, hybrid=True, use_bias=True, xscaling=True, conv_norm="batch_norm")
    model, path = build_model(shape), tmp_path / "model.nemo"
    save_model(model, path)
    restored = load_checkpoint(path)
    assert type(restored) is type(model)
    expected, found = model.state_dict(), restored.state_dict()
    assert expected.keys() == found.keys()
    assert all(torch.equal(expected[name], found[name]) for name in expected)
    assert restored.tokenizer.vocab_size == shape.pieces
    with tarfile.open(path) as archive:
        for member in archive:
            content = archive.extractfile(member)
            assert content is not None
            assert tempfile.gettempdir().encode() not in content.read()


def test_heavy_tails_have_outliers_at_the_same_deviation() -> None:
    plain, heavy = (
        build_model(SMALL, heavy_tails=tails).encoder.layers[0].feed_forward1.linear1.weight
        for tails in (False, True)
    )
    assert heavy.std() == pytest.approx(float(plain.std()), rel=0.1)
    assert heavy.abs().max() / heavy.std() > 4 > plain.abs().max() / plain.std()


def test_no_weight_is_at_a_value_that_hides_mistakes() -> None:
    shape = replace(SMALL, conv_norm="batch_norm")
    weights = build_model(shape).encoder.state_dict()
    for name, value in weights.items():
        if name.endswith(("weight", "bias", "pos_bias_u", "pos_bias_v", "running_mean")):
            assert value.std() > 1e-3, name
            assert not (value == 0).any(), name


def test_building_leaves_the_random_state_alone() -> None:
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    build_model(SMALL, 9)
    assert torch.equal(torch.rand(4), expected)


def test_settings_of_nemo_can_be_put_over_the_shape() -> None:
    model = build_model(SMALL, overrides={"encoder.att_context_style": "regular"})
    assert model.encoder.att_context_style == "regular"


@pytest.mark.parametrize("pieces", [64, 1024])
def test_a_tokenizer_has_as_many_pieces_as_asked(pieces: int) -> None:
    import sentencepiece

    model = tokenizer_model(pieces)
    processor = sentencepiece.SentencePieceProcessor(model_proto=model)
    assert processor.vocab_size() == pieces
    assert model == tokenizer_model(pieces)
