"""Open a `.nemo` file without trusting it.

A `.nemo` is a tar of a configuration, a tokenizer and a pickled state dict. Each is read and
checked where it lies, and NeMo makes the model of what passed: it never sees the file.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from nemo.collections.asr.models import (
    EncDecHybridRNNTCTCBPEModel,
    EncDecRNNTBPEModel,
)
from nemo.collections.asr.modules import (
    AudioToMelSpectrogramPreprocessor,
    ConformerEncoder,
    ConvASRDecoder,
    RNNTDecoder,
    RNNTJoint,
)
from nemo.utils import logging as nemo_logging
from omegaconf import OmegaConf
from torch import Tensor
from torch.overrides import TorchFunctionMode

from quantkit.core.errors import InputError
from quantkit.core.files import require_space
from quantkit.core.text import one_line
from quantkit.nemo.architecture import check_streamable
from quantkit.nemo.loading import configuration
from quantkit.nemo.loading.archive import opened
from quantkit.nemo.loading.configuration import Configuration
from quantkit.nemo.loading.tokenizer import read_pieces
from quantkit.nemo.loading.weights import read_weights
from quantkit.nemo.loading.yaml_text import parse_yaml

CONFIGURATION = "model_config.yaml"
WEIGHTS = "model_weights.ckpt"
_MODELS = {
    configuration.TRANSDUCER: EncDecRNNTBPEModel,
    configuration.HYBRID: EncDecHybridRNNTCTCBPEModel,
}
_PARTS = {
    configuration.PREPROCESSOR: AudioToMelSpectrogramPreprocessor,
    configuration.ENCODER: ConformerEncoder,
    configuration.DECODER: RNNTDecoder,
    configuration.JOINT: RNNTJoint,
    configuration.CTC_DECODER: ConvASRDecoder,
}


def load_checkpoint(path: Path) -> EncDecRNNTBPEModel:
    """Restore a NeMo streaming transducer on the CPU, in evaluation mode, from a `.nemo` file.

    Raises:
        InputError: the file is missing, truncated, not a `.nemo` file, holds anything that such a
            model is not made of, or is no transducer that can be streamed exactly.
    """
    with opened(path) as members:
        for needed in (CONFIGURATION, WEIGHTS):
            if needed not in members:
                found = ", ".join(sorted(members)) or "nothing"
                raise InputError(f"{path}: holds no {needed} (found: {found}); not a NeMo model")
        file = f"{path}: {CONFIGURATION}"
        config = Configuration(parse_yaml(bytes(members[CONFIGURATION]), file), file)
        tokenizer = config.tokenizer(members)
        pieces = read_pieces(members[tokenizer], f"{path}: {tokenizer}")
        settings = config.settings(len(pieces))
        weights = read_weights(members[WEIGHTS], f"{path}: {WEIGHTS}")
        with _by_the_checkpoint(path), nemo_errors_only():
            _check_sizes(settings, weights, path)
            model = _built(settings, members[tokenizer])
            model.load_state_dict(weights)
    model.eval()
    model.freeze()
    try:
        check_streamable(model)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    return model


def _check_sizes(settings: Mapping[str, Any], weights: Mapping[str, Tensor], path: Path) -> None:
    """Refuse a configuration whose tensors are not those of the weights, before they are made."""
    encoder, prediction = settings["encoder"], settings["decoder"]["prednet"]
    layers = {name.split(".")[2] for name in weights if name.startswith("encoder.layers.")}
    if encoder["n_layers"] != len(layers):
        raise InputError(
            f"{path}: {CONFIGURATION}: encoder.n_layers: found {encoder['n_layers']}; accepted: "
            f"{len(layers)}, as in {WEIGHTS}"
        )
    held = sum(name.startswith("decoder.") for name in weights)
    if prediction["pred_rnn_layers"] > held:
        raise InputError(
            f"{path}: {CONFIGURATION}: decoder.prednet.pred_rnn_layers: found "
            f"{prediction['pred_rnn_layers']}; {WEIGHTS} holds {held} tensors of the decoder"
        )
    parts = {name: settings[name] for name in ("preprocessor", "decoder", "joint")}
    # As long as they may be, positions are no part of the weights.
    parts["encoder"] = encoder | {"pos_emb_max_len": 1}
    if "aux_ctc" in settings:
        parts["ctc_decoder"] = settings["aux_ctc"]["decoder"]
    expected: dict[str, Tensor] = {}
    with _WithoutMemory():
        for name, part in parts.items():
            arguments = {key: value for key, value in part.items() if key != "_target_"}
            with _by_the_checkpoint(path, "aux_ctc.decoder" if name == "ctc_decoder" else name):
                module = _PARTS[part["_target_"]](**arguments)
            expected |= {f"{name}.{key}": value for key, value in module.state_dict().items()}
    for name in sorted(expected.keys() | weights.keys()):
        ours, theirs = expected.get(name), weights.get(name)
        if ours is None or theirs is None or not _alike(ours, theirs):
            raise InputError(
                f"{path}: {one_line(name)[:200]}: the configuration makes {_described(ours)}, "
                f"{WEIGHTS} holds {_described(theirs)}; they belong to different models"
            )


class _WithoutMemory(TorchFunctionMode):
    """Modules made within have parameters with a shape and nothing else."""

    def __torch_function__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        device = {"device": "meta"} if func is torch.empty else {}
        return func(*args, **(kwargs or {}) | device)


def _alike(ours: Tensor, theirs: Tensor) -> bool:
    kinds = ours.dtype.is_floating_point == theirs.dtype.is_floating_point
    return ours.shape == theirs.shape and kinds


def _described(tensor: Tensor | None) -> str:
    if tensor is None:
        return "no such tensor"
    return f"{str(tensor.dtype).removeprefix('torch.')} {list(tensor.shape)}"


def _built(settings: Mapping[str, Any], tokenizer: memoryview) -> EncDecRNNTBPEModel:
    """The model with initial weights."""
    require_space(Path(tempfile.gettempdir()), len(tokenizer), "tokenizers")
    # NeMo takes a tokenizer by its path; this file has one only while it is open.
    with tempfile.TemporaryFile() as file:
        file.write(tokenizer)
        file.seek(0)
        path = f"/dev/fd/{file.fileno()}"
        paths = dict.fromkeys(("model_path", "vocab_path", "spe_tokenizer_vocab"), path)
        section = {"dir": "/dev/fd", "type": "bpe", **paths}
        return _MODELS[settings["target"]](OmegaConf.create({**settings, "tokenizer": section}))


@contextmanager
def _by_the_checkpoint(path: Path, key: str = "") -> Iterator[None]:
    """Whatever NeMo says of a configuration, or of a section, is said of the file that holds it."""
    try:
        yield
    except (InputError, MemoryError, OSError):
        raise
    except Exception as error:  # NeMo and its libraries have no common one
        reason = one_line(f"{type(error).__name__}: {error}")[:500]
        where = f"{path}: {CONFIGURATION}{key and f': {key}'}"
        raise InputError(f"{where}: NeMo can make no model of it: {reason}") from error


@contextmanager
def nemo_errors_only() -> Iterator[None]:
    """NeMo logs the training set-up of every model it restores, which is noise here."""
    level = nemo_logging.get_verbosity()
    nemo_logging.set_verbosity(logging.ERROR)
    try:
        yield
    finally:
        nemo_logging.set_verbosity(level)
