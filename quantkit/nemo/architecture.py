"""What a NeMo model is made of, and whether it can be streamed exactly."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from nemo.collections.asr.models import (
    ASRModel,
    EncDecHybridRNNTCTCBPEModel,
    EncDecRNNTBPEModel,
)
from nemo.collections.asr.modules import ConformerEncoder, RNNTDecoder, RNNTJoint
from nemo.collections.asr.parts.submodules.causal_convs import CausalConv2D

from quantkit.core.errors import InputError, SettingError

CONV_NORMS = ("layer_norm", "batch_norm")
TRANSDUCERS = (EncDecRNNTBPEModel, EncDecHybridRNNTCTCBPEModel)


@dataclass(frozen=True)
class Geometry:
    """Sizes of one streaming step. Frames are mel frames unless said otherwise.

    See NeMo's `ConformerEncoder.setup_streaming_params`: encoder frame k reads the mel frames
    from f*k - 2*(f - 1) to f*k, so that a window with 2*f frames before the chunk holds all.
    """

    factor: int
    """Sub-sampling factor f: mel frames per encoder frame."""
    left: int
    """Left context: cached encoder frames."""
    right: int
    """Right context R: encoder frames of look-ahead of the first frame in a chunk."""

    @property
    def steps(self) -> int:
        """Encoder frames per chunk."""
        return self.right + 1

    @property
    def chunk_frames(self) -> int:
        return self.factor * self.steps

    @property
    def leading_frames(self) -> int:
        """Frames of the window before the chunk's first frame."""
        return 2 * self.factor

    @property
    def window_frames(self) -> int:
        return self.leading_frames + self.factor * self.right + 1


def check_streamable(model: ASRModel) -> None:
    """Refuse a model whose streaming this project cannot reproduce.

    Raises:
        InputError: names every setting that rules the model out, with what is accepted.
    """
    if type(model) not in TRANSDUCERS:
        raise InputError(
            f"model class {type(model).__name__} is not a transducer with a BPE tokenizer; "
            f"accepted: {' and '.join(kind.__name__ for kind in TRANSDUCERS)}"
        )
    faults = [*_encoder_faults(model.encoder), *_decoder_faults(model)]
    if faults:
        raise InputError(
            "this checkpoint is no cache-aware streaming transducer that can be exported:\n"
            + "\n".join(f"  - {fault}" for fault in faults)
        )


def _encoder_faults(encoder: torch.nn.Module) -> list[str]:
    if type(encoder) is not ConformerEncoder:
        return [f"encoder is {type(encoder).__name__}; accepted: ConformerEncoder"]
    faults = []

    def need(setting: str, found: object, accepted: str, fine: object) -> None:
        if not fine:
            faults.append(f"encoder.{setting} is {found!r}; accepted: {accepted}")

    style = encoder.att_context_style
    need("att_context_style", style, "'chunked_limited'", style == "chunked_limited")
    attention = encoder.self_attention_model
    need("self_attention_model", attention, "'rel_pos'", attention == "rel_pos")
    contexts = [list(context) for context in encoder.att_context_size_all]
    limited = all(len(c) == 2 and c[0] > 0 and c[1] >= 0 for c in contexts)
    need("att_context_size", contexts, "pairs [left > 0, right >= 0]", limited)
    need("reduction", encoder.reduction_position, "none", encoder.reduction_position is None)
    convolutions = [layer for layer in getattr(encoder.pre_encode, "conv", []) if _strided(layer)]
    causal = bool(convolutions) and all(isinstance(c, CausalConv2D) for c in convolutions)
    stem = getattr(encoder.pre_encode, "_subsampling", type(encoder.pre_encode).__name__)
    need("subsampling", stem, "'dw_striding' or 'striding'", stem in ("dw_striding", "striding"))
    need("causal_downsampling", causal, "true", causal)
    kernels = [tuple(c.kernel_size) for c in convolutions]
    need("subsampling kernel", kernels, "3 x 3, stride 2", all(k == (3, 3) for k in kernels))
    for layer in encoder.layers:
        module = layer.conv
        context = [module.depthwise_conv._left_padding, module.depthwise_conv._right_padding]
        need("conv_context_size", context, "'causal'", context[1] == 0)
        need(
            "conv_norm_type",
            module.norm_type,
            " or ".join(CONV_NORMS),
            module.norm_type in CONV_NORMS,
        )
        activation = module.pointwise_activation
        need("conv activation", activation, "'glu_'", activation == "glu_")
        need("adapters", "enabled", "none", not layer.is_adapter_available())
        if faults:
            break
    return faults


def _strided(layer: torch.nn.Module) -> bool:
    return getattr(layer, "stride", (1, 1)) != (1, 1)


def _decoder_faults(model: EncDecRNNTBPEModel) -> list[str]:
    faults = []
    decoder, joint = model.decoder, model.joint
    if type(decoder) is not RNNTDecoder:
        faults.append(f"decoder is {type(decoder).__name__}; accepted: RNNTDecoder")
    elif not isinstance(getattr(decoder.prediction["dec_rnn"], "lstm", None), torch.nn.LSTM):
        faults.append(
            "decoder.normalization_mode makes it a "
            f"{type(decoder.prediction['dec_rnn']).__name__}; accepted: null, a plain LSTM"
        )
    if type(joint) is not RNNTJoint:
        faults.append(f"joint is {type(joint).__name__}; accepted: RNNTJoint")
    elif joint.num_extra_outputs:
        faults.append(
            f"joint.num_extra_outputs is {joint.num_extra_outputs}; accepted: 0 "
            "(token-and-duration transducers are not supported)"
        )
    normalize = model.cfg.preprocessor.get("normalize")
    if normalize not in (None, "NA", "None"):
        faults.append(
            f"preprocessor.normalize is {normalize!r}; accepted: 'NA' (normalizing over the whole "
            "utterance cannot be streamed)"
        )
    return faults


def geometry(model: EncDecRNNTBPEModel, chunk_ms: int) -> Geometry:
    """The streaming geometry of a model at a chunk length.

    Raises:
        SettingError: the checkpoint was not trained with a right context of that length.
    """
    encoder = model.encoder
    factor = int(encoder.subsampling_factor)
    frame_ms = 1000 * float(model.cfg.preprocessor.window_stride) * factor
    trained = {
        round(frame_ms * (right + 1)): Geometry(factor, int(left), int(right))
        for left, right in encoder.att_context_size_all
    }
    if chunk_ms not in trained:
        accepted = ", ".join(str(ms) for ms in sorted(trained))
        raise SettingError(
            "model.chunk_ms",
            f"found {chunk_ms}; accepted: {accepted}, which this checkpoint was trained with",
        )
    return trained[chunk_ms]
