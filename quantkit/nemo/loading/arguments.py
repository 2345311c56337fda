"""The arguments of NeMo's classes, each with what it may be.

What is not here is refused, since NeMo would refuse it too.
"""

from __future__ import annotations

from quantkit.nemo.loading.rules import (
    FLAG,
    NOTHING,
    SECTION,
    TEXT,
    Rule,
    either,
    list_of,
    one_of,
    optional,
    pair,
    real,
    several,
    whole,
)

_SIZE = whole(1, 8192)
_SHARE = real(0, 1)
_CONTEXT = whole(-1, 1000)

PREPROCESSOR_RULES = {
    "sample_rate": whole(1000, 192_000),
    "window_size": real(0.001, 1),
    "window_stride": real(0.001, 1),
    "n_window_size": NOTHING,
    "n_window_stride": NOTHING,
    "window": optional(one_of("hann", "hamming", "blackman", "bartlett", "none")),
    "normalize": optional(TEXT),
    "n_fft": optional(whole(1, 8192)),
    "preemph": optional(_SHARE),
    "features": whole(1, 512),
    "lowfreq": optional(real(0, 96_000)),
    "highfreq": optional(real(0, 96_000)),
    "log": FLAG,
    "log_zero_guard_type": one_of("add", "clamp"),
    "log_zero_guard_value": real(1e-30, 1),
    "dither": _SHARE,
    "pad_to": whole(0, 4096),
    "frame_splicing": whole(1, 16),
    "exact_pad": FLAG,
    "pad_value": real(-1e6, 1e6),
    "mag_power": real(0, 10),
    "rng": NOTHING,
    "nb_augmentation_prob": _SHARE,
    "nb_max_freq": real(0, 96_000),
    "mel_norm": one_of("slaney"),
    "use_torchaudio": FLAG,
    "stft_exact_pad": FLAG,
    "stft_conv": FLAG,
}
ENCODER_RULES = {
    "feat_in": whole(1, 8192),
    "n_layers": whole(1, 200),
    "d_model": _SIZE,
    "feat_out": whole(-1, 8192),
    "causal_downsampling": FLAG,
    "subsampling": TEXT,
    "subsampling_factor": either(*(whole(n, n) for n in (1, 2, 4, 8, 16))),
    "subsampling_conv_chunking_factor": whole(-1, 1024),
    "subsampling_conv_channels": either(whole(-1, -1), _SIZE),
    "reduction": optional(TEXT),
    "reduction_position": optional(whole(-1, 1000)),
    "reduction_factor": whole(1, 16),
    "ff_expansion_factor": whole(1, 64),
    "self_attention_model": TEXT,
    "n_heads": whole(1, 1024),
    "att_context_size": optional(either(pair(_CONTEXT), several(pair(_CONTEXT), 64))),
    "att_context_probs": optional(several(_SHARE, 64)),
    "att_chunk_context_size": NOTHING,
    "att_context_style": TEXT,
    "xscaling": FLAG,
    "untie_biases": FLAG,
    "pos_emb_max_len": whole(1, 10_000),
    "conv_kernel_size": Rule(
        "an odd number from 1 to 255", lambda v: type(v) is int and 0 < v < 256 and v % 2 == 1
    ),
    "conv_norm_type": TEXT,
    "conv_context_size": optional(either(one_of("causal"), pair(whole(0, 255)))),
    "conv_context_style": one_of("regular"),
    "use_bias": FLAG,
    "dropout": _SHARE,
    "dropout_pre_encoder": _SHARE,
    "dropout_emb": _SHARE,
    "dropout_att": _SHARE,
    "stochastic_depth_drop_prob": _SHARE,
    "stochastic_depth_mode": one_of("linear", "uniform"),
    "stochastic_depth_start_layer": whole(0, 1000),
    "global_tokens": whole(0, 1000),
    "global_tokens_spacing": whole(1, 1000),
    "global_attn_separate": FLAG,
    "use_pytorch_sdpa": FLAG,
    "use_pytorch_sdpa_backends": optional(several(TEXT, 8)),
    "sync_max_audio_length": FLAG,
}
DECODER_RULES = {
    "prednet": SECTION,
    "normalization_mode": optional(TEXT),
    "random_state_sampling": FLAG,
    "blank_as_pad": FLAG,
}
PREDNET_RULES = {
    "pred_hidden": _SIZE,
    "pred_rnn_layers": whole(1, 100),
    "t_max": optional(whole(2, 10**6)),
    "forget_gate_bias": optional(real(-1e3, 1e3)),
    "weights_init_scale": real(0, 1e3),
    "hidden_hidden_bias_scale": real(0, 1e3),
    "dropout": _SHARE,
    "rnn_hidden_size": whole(-1, 0),
}
JOINT_RULES = {
    "jointnet": SECTION,
    # Others are token-and-duration or multi-blank transducers.
    "num_extra_outputs": whole(0, 0),
    "log_softmax": optional(FLAG),
    "preserve_memory": FLAG,
    "fuse_loss_wer": FLAG,
    "fused_batch_size": optional(whole(-1, 10**6)),
    "experimental_fuse_loss_wer": optional(FLAG),
    "masking_prob": real(-1e6, 0),
}
JOINTNET_RULES = {
    "joint_hidden": _SIZE,
    "encoder_hidden": optional(_SIZE),
    "pred_hidden": optional(_SIZE),
    "activation": one_of("relu", "sigmoid", "tanh"),
    "dropout": _SHARE,
}
DEFAULTS_RULES = {"enc_hidden": _SIZE, "pred_hidden": _SIZE}
CTC_RULES = {
    "feat_in": optional(_SIZE),
    "init_mode": optional(TEXT),
    "add_blank": FLAG,
}
DECODING_RULES = {
    "strategy": one_of("greedy", "greedy_batch"),
    "greedy": SECTION,
    "durations": optional(list_of(0)),
    "big_blank_durations": optional(list_of(0)),
}
_BOOSTS = ("model_path", "key_phrases_file", "key_phrases_list", "key_phrase_items_list")
GREEDY_RULES = {
    "max_symbols": optional(whole(1, 1000)),
    "max_symbols_per_step": optional(whole(1, 1000)),
    "loop_labels": FLAG,
    # Files of whoever trained it, and another function than the graphs'.
    "ngram_lm_model": NOTHING,
    "fusion_models": NOTHING,
    "boosting_tree": Rule(
        "none", lambda v: v is None or (isinstance(v, dict) and not any(map(v.get, _BOOSTS)))
    ),
}
LOSS_RULES = {
    "loss_name": optional(one_of("default", "warprnnt", "warprnnt_numba", "pytorch", "graph_rnnt")),
}
TOKENIZER_RULES = {
    "type": one_of("bpe"),
    "model_path": TEXT,
    "vocab_path": optional(TEXT),
    "spe_tokenizer_vocab": optional(TEXT),
    "special_tokens": NOTHING,
    "custom_tokenizer": NOTHING,
    "langs": NOTHING,
}
ROOT_RULES = {"sample_rate": whole(1000, 192_000), "adapters": NOTHING}
