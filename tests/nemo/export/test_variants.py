"""Any cache-aware FastConformer transducer: nothing of the demo model is assumed."""

from __future__ import annotations

from dataclasses import replace
from itertools import count
from pathlib import Path

import numpy as np
import pytest

from quantkit.core.errors import InputError
from quantkit.core.progress import Silent
from quantkit.graph.fusion import fuse_model
from quantkit.nemo.architecture import check_streamable, geometry
from quantkit.nemo.export.stage import export_checkpoint
from quantkit.nemo.reference.streaming import NemoStreamer
from quantkit.runtime import trace
from quantkit.runtime.transcriber import Transcriber
from tests.models.random_model import build_model, save_model
from tests.models.shape import SMALL, ModelShape

pytestmark = pytest.mark.slow

VARIANTS = {
    "biases, input scaling, hybrid with a CTC decoder": replace(
        SMALL, use_bias=True, xscaling=True, hybrid=True
    ),
    "batch norm, 80 mels, one wide layer, no embedding for the blank": replace(
        SMALL,
        conv_norm="batch_norm",
        mels=80,
        layers=1,
        width=96,
        heads=6,
        feed_forward_factor=2,
        blank_as_pad=False,
    ),
    "two LSTM layers, tanh joint, other contexts": replace(
        SMALL, predictor_layers=2, joint_activation="tanh", contexts=((24, 3), (24, 1)), kernel=5
    ),
}


@pytest.mark.parametrize("name", VARIANTS)
def test_variants_stream_as_nemo_does(name: str, tmp_path: Path) -> None:
    shape = VARIANTS[name]
    left, right = shape.contexts[0]
    random = np.random.default_rng(3)
    samples = (random.standard_normal(16000 * 5 + 123) * 0.1).astype(np.float32)
    # Random weights may say nothing, which would show nothing.
    models = (build_model(shape, seed) for seed in count())
    references = ((model, NemoStreamer(model, left, right).run(samples)) for model in models)
    model, expected = next((m, r) for m, r in references if len(r.tokens) > 5)
    checkpoint = tmp_path / "model.nemo"
    save_model(model, checkpoint)
    exported, fused = tmp_path / "exported", tmp_path / "fused"
    exported.mkdir()
    fused.mkdir()
    export_checkpoint(checkpoint, 80 * (right + 1), exported, Silent())
    fuse_model(exported, fused, Silent())

    found = trace.run(Transcriber.load(fused), samples)
    assert [t.id for t in found.tokens] == expected.tokens
    assert [t.frame for t in found.tokens] == expected.token_frames
    for ours, theirs in zip(found.chunks, expected.chunks, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("overrides", "named"),
    [
        ({"encoder.att_context_style": "regular"}, "att_context_style"),
        ({"encoder.self_attention_model": "abs_pos"}, "self_attention_model"),
        ({"encoder.causal_downsampling": False}, "causal_downsampling"),
        ({"encoder.conv_context_size": None}, "conv_context_size"),
        ({"preprocessor.normalize": "per_feature"}, "preprocessor.normalize"),
    ],
)
def test_what_cannot_stream_exactly_is_refused_by_its_setting(
    overrides: dict[str, object], named: str
) -> None:
    model = build_model(replace(SMALL, layers=1), overrides=overrides)
    with pytest.raises(InputError, match=named) as caught:
        check_streamable(model)
    assert "accepted" in str(caught.value)


def test_a_chunk_length_that_was_not_trained_is_refused() -> None:
    model = build_model(ModelShape(**{**vars(SMALL), "layers": 1}))
    assert geometry(model, 560).right == 6
    with pytest.raises(
        InputError, match=r"model.chunk_ms: found 320; accepted: 80, 160, 560, 1120,"
    ):
        geometry(model, 320)
