"""The sizes of a streaming transducer, as NeMo's configuration of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class ModelShape:
    """Everything that tells one cache-aware FastConformer transducer from another."""

    layers: int = 24
    width: int = 1024
    heads: int = 8
    feed_forward_factor: int = 4
    stem_channels: int = 256
    kernel: int = 9
    mels: int = 128
    contexts: tuple[tuple[int, int], ...] = ((70, 13), (70, 6), (70, 1), (70, 0))
    """Left and right attention contexts in encoder frames."""
    use_bias: bool = False
    xscaling: bool = False
    conv_norm: str = "layer_norm"
    predictor_layers: int = 2
    predictor_width: int = 640
    blank_as_pad: bool = True
    joint_width: int = 640
    joint_activation: str = "relu"
    pieces: int = 1024
    max_symbols: int = 10
    hybrid: bool = False
    """With the auxiliary CTC decoder of `EncDecHybridRNNTCTCBPEModel`."""


#: nvidia/nemotron-speech-streaming-en-0.6b: 618,084,865 parameters.
NEMOTRON = ModelShape()
#: The same in miniature, for tests.
SMALL = ModelShape(
    layers=2,
    width=64,
    heads=4,
    stem_channels=16,
    predictor_layers=1,
    predictor_width=32,
    joint_width=32,
    pieces=64,
)
SHAPES = {"nemotron": NEMOTRON, "small": SMALL}
#: A checkpoint of the small shape, as `random_model` makes it.
SMALL_CHECKPOINT = Path(__file__).with_name("small.nemo")

_MODULES = "nemo.collections.asr.modules"


def nemo_config(shape: ModelShape) -> dict[str, Any]:
    """The NeMo configuration of a shape, without the tokenizer's section."""
    config: dict[str, Any] = {
        "sample_rate": 16000,
        "compute_eval_loss": False,
        "log_prediction": False,
        "skip_nan_grad": False,
        "model_defaults": {
            "enc_hidden": shape.width,
            "pred_hidden": shape.predictor_width,
            "joint_hidden": shape.joint_width,
        },
        "train_ds": None,
        "validation_ds": None,
        "test_ds": None,
        "preprocessor": _preprocessor(shape),
        "encoder": _encoder(shape),
        "decoder": {
            "_target_": f"{_MODULES}.RNNTDecoder",
            "normalization_mode": None,
            "random_state_sampling": False,
            "blank_as_pad": shape.blank_as_pad,
            "prednet": {
                "pred_hidden": shape.predictor_width,
                "pred_rnn_layers": shape.predictor_layers,
                "t_max": None,
                # Between the layers of an LSTM; PyTorch warns if there is only one.
                "dropout": 0.2 if shape.predictor_layers > 1 else 0.0,
            },
        },
        "joint": {
            "_target_": f"{_MODULES}.RNNTJoint",
            "log_softmax": None,
            "preserve_memory": False,
            "fuse_loss_wer": True,
            "fused_batch_size": 4,
            "jointnet": {
                "joint_hidden": shape.joint_width,
                "activation": shape.joint_activation,
                "dropout": 0.2,
            },
        },
        "decoding": {
            # NeMo's batched search cannot go on with a stream if the blank has no embedding.
            "strategy": "greedy_batch" if shape.blank_as_pad else "greedy",
            "greedy": {"max_symbols": shape.max_symbols},
        },
        "loss": {
            "loss_name": "default",
            "warprnnt_numba_kwargs": {"fastemit_lambda": 0.005, "clamp": -1.0},
        },
        "optim": {"name": "adamw", "lr": 0.001},
    }
    if shape.hybrid:
        config["aux_ctc"] = _ctc()
    return config


def _preprocessor(shape: ModelShape) -> dict[str, Any]:
    return {
        "_target_": f"{_MODULES}.AudioToMelSpectrogramPreprocessor",
        "sample_rate": 16000,
        "normalize": "NA",
        "window_size": 0.025,
        "window_stride": 0.01,
        "window": "hann",
        "features": shape.mels,
        "n_fft": 512,
        "frame_splicing": 1,
        "dither": 1.0e-05,
        "pad_to": 0,
    }


def _encoder(shape: ModelShape) -> dict[str, Any]:
    return {
        "_target_": f"{_MODULES}.ConformerEncoder",
        "feat_in": shape.mels,
        "feat_out": -1,
        "n_layers": shape.layers,
        "d_model": shape.width,
        "use_bias": shape.use_bias,
        "subsampling": "dw_striding",
        "subsampling_factor": 8,
        "subsampling_conv_channels": shape.stem_channels,
        "causal_downsampling": True,
        "ff_expansion_factor": shape.feed_forward_factor,
        "self_attention_model": "rel_pos",
        "n_heads": shape.heads,
        "att_context_size": [list(context) for context in shape.contexts],
        "att_context_style": "chunked_limited",
        "xscaling": shape.xscaling,
        "untie_biases": True,
        "pos_emb_max_len": 5000,
        "conv_kernel_size": shape.kernel,
        "conv_norm_type": shape.conv_norm,
        "conv_context_size": "causal",
        "dropout": 0.1,
        "dropout_pre_encoder": 0.1,
        "dropout_emb": 0.0,
        "dropout_att": 0.1,
    }


def _ctc() -> dict[str, Any]:
    return {
        "ctc_loss_weight": 0.3,
        "use_cer": False,
        "ctc_reduction": "mean_batch",
        "decoder": {
            "_target_": f"{_MODULES}.ConvASRDecoder",
            "feat_in": None,
            "num_classes": -1,
            "vocabulary": [],
        },
        "decoding": {"strategy": "greedy"},
    }
