from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest

from quantkit.bench.exported import ExportedSettings, GreedySearch
from quantkit.core.errors import InputError

pytestmark = pytest.mark.slow


class Counted:
    """A session that counts its runs."""

    def __init__(self, path: Path) -> None:
        self.session, self.runs = ort.InferenceSession(str(path)), 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.session, name)

    def run(self, *arguments: Any) -> Any:
        self.runs += 1
        return self.session.run(*arguments)


def settings(*, predicts_after_blank: bool) -> ExportedSettings:
    return ExportedSettings(56, 9, 10, predicts_after_blank)


@pytest.fixture(scope="module")
def networks(demo_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo model's decoder and joint with the published recipe's names."""
    import torch

    from benchmarks.incumbent import PORTS
    from benchmarks.nemo_networks import Joint, PredictionNetwork
    from quantkit.nemo.export.onnx_file import export_module
    from quantkit.nemo.loading.checkpoint import load_checkpoint

    folder, model = tmp_path_factory.mktemp("networks"), load_checkpoint(demo_checkpoint)
    state, frame = torch.zeros(2, 1, 256), torch.zeros(1, 1, 256)
    examples = {
        "decoder": (
            PredictionNetwork(model.decoder),
            (torch.zeros(1, 1, dtype=torch.int64), state, state.clone()),
        ),
        "joiner": (Joint(model.joint), (frame, frame.clone())),
    }
    for name, (module, inputs) in examples.items():
        export_module(module.eval(), inputs, *PORTS[name], folder / f"{name}.onnx")
    return folder


@pytest.mark.parametrize("predicts_after_blank", [True, False])
def test_the_search_finds_nemos_tokens(
    networks: Path, demo_checkpoint: Path, parity_manifest: Path, predicts_after_blank: bool
) -> None:
    from quantkit.nemo.loading.checkpoint import load_checkpoint
    from quantkit.nemo.reference.streaming import NemoStreamer
    from quantkit.runtime.audio import read_audio

    audio = read_audio(parity_manifest.parent / "agent-pass.flac", 16000)
    heard = NemoStreamer(load_checkpoint(demo_checkpoint), 70, 6).run(audio)
    decoder, joiner = Counted(networks / "decoder.onnx"), Counted(networks / "joiner.onnx")
    search = GreedySearch(decoder, joiner, settings(predicts_after_blank=predicts_after_blank))
    for chunk in heard.chunks:
        search.decode(chunk[None])
    assert search.tokens == list(zip(heard.tokens, heard.token_frames, strict=True))
    tokens, frames = len(heard.tokens), sum(map(len, heard.chunks))
    assert tokens > 10
    # A joint call for each token and for each frame's blank; the tokens' own frames end in one too.
    assert joiner.runs == tokens + frames
    # The last decision is a blank, after which nobody has asked for a prediction yet.
    assert decoder.runs == (tokens + frames if predicts_after_blank else tokens + 1)


def test_a_frame_ends_after_so_many_symbols(networks: Path) -> None:
    search = GreedySearch(
        ort.InferenceSession(str(networks / "decoder.onnx")),
        ort.InferenceSession(str(networks / "joiner.onnx")),
        ExportedSettings(56, 9, 2, predicts_after_blank=False),
    )
    search._blank = -1  # never said
    search.decode(np.zeros((1, 3, 256), np.float32))
    assert [frame for _, frame in search.tokens] == [0, 0, 1, 1, 2, 2]


def test_settings_of_another_kind_are_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "exported.json"
    for content in ("{", json.dumps({"chunk": 56}), "[]"):
        path.write_text(content)
        with pytest.raises(InputError, match=r"exported\.json"):
            ExportedSettings.load(path)
