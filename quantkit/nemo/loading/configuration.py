"""What of a stranger's `model_config.yaml` NeMo gets to see.

NeMo makes an object of every `_target_` that its broad list admits, wherever it stands, and some
run commands or write files while they are made. So each class named anywhere has to be one of
quantkit's own list, and NeMo is handed a configuration that is written here: the sections that
inference needs, their settings one by one as far as they are known and of the right type.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, NoReturn

from quantkit.core.errors import InputError
from quantkit.core.text import one_line
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
    shown,
    whole,
)

_MODULES = "nemo.collections.asr.modules"
_MODELS = "nemo.collections.asr.models"
PREPROCESSOR = f"{_MODULES}.AudioToMelSpectrogramPreprocessor"
ENCODER = f"{_MODULES}.ConformerEncoder"
DECODER = f"{_MODULES}.RNNTDecoder"
JOINT = f"{_MODULES}.RNNTJoint"
CTC_DECODER = f"{_MODULES}.ConvASRDecoder"
TRANSDUCER = f"{_MODELS}.EncDecRNNTBPEModel"
HYBRID = f"{_MODELS}.EncDecHybridRNNTCTCBPEModel"

#: Every class that may be named, by each name that NeMo gives it.
_MODEL_NAMES = {
    TRANSDUCER: TRANSDUCER,
    f"{_MODELS}.rnnt_bpe_models.EncDecRNNTBPEModel": TRANSDUCER,
    HYBRID: HYBRID,
    f"{_MODELS}.hybrid_rnnt_ctc_bpe_models.EncDecHybridRNNTCTCBPEModel": HYBRID,
}
_PART_NAMES = {
    PREPROCESSOR: PREPROCESSOR,
    f"{_MODULES}.audio_preprocessing.AudioToMelSpectrogramPreprocessor": PREPROCESSOR,
    ENCODER: ENCODER,
    f"{_MODULES}.conformer_encoder.ConformerEncoder": ENCODER,
    DECODER: DECODER,
    f"{_MODULES}.rnnt.RNNTDecoder": DECODER,
    JOINT: JOINT,
    f"{_MODULES}.rnnt.RNNTJoint": JOINT,
    CTC_DECODER: CTC_DECODER,
    f"{_MODULES}.conv_asr.ConvASRDecoder": CTC_DECODER,
}
# Of training, which is left out.
_TRAINING_NAMES = {
    f"{_MODULES}.SpectrogramAugmentation",
    f"{_MODULES}.audio_preprocessing.SpectrogramAugmentation",
    "torch.optim.Adam",
    "torch.optim.AdamW",
    "torch.optim.SGD",
}
_KNOWN = {*_MODEL_NAMES, *_PART_NAMES, *_TRAINING_NAMES}
_CLASS_KEYS = ("_target_", "target", "cls")

_MOST_VISITS, _MOST_LEVELS = 400_000, 40
_REFERENCE = re.compile(r"\$\{([A-Za-z_]\w*(?:\.\w+)*)\}")
_MOST_REFERENCES = 8

_SIZE = whole(1, 8192)
_SHARE = real(0, 1)
_CONTEXT = whole(-1, 1000)

# The arguments of NeMo's classes. What is not here is refused, since NeMo would refuse it too.
_PREPROCESSOR_RULES = {
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
_ENCODER_RULES = {
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
_DECODER_RULES = {
    "prednet": SECTION,
    "normalization_mode": optional(TEXT),
    "random_state_sampling": FLAG,
    "blank_as_pad": FLAG,
}
_PREDNET_RULES = {
    "pred_hidden": _SIZE,
    "pred_rnn_layers": whole(1, 100),
    "t_max": optional(whole(2, 10**6)),
    "forget_gate_bias": optional(real(-1e3, 1e3)),
    "weights_init_scale": real(0, 1e3),
    "hidden_hidden_bias_scale": real(0, 1e3),
    "dropout": _SHARE,
    "rnn_hidden_size": whole(-1, 0),
}
_JOINT_RULES = {
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
_JOINTNET_RULES = {
    "joint_hidden": _SIZE,
    "encoder_hidden": optional(_SIZE),
    "pred_hidden": optional(_SIZE),
    "activation": one_of("relu", "sigmoid", "tanh"),
    "dropout": _SHARE,
}
_DEFAULTS_RULES = {"enc_hidden": _SIZE, "pred_hidden": _SIZE}
_CTC_RULES = {
    "feat_in": optional(_SIZE),
    "init_mode": optional(TEXT),
    "add_blank": FLAG,
}
_DECODING_RULES = {
    "strategy": one_of("greedy", "greedy_batch"),
    "greedy": SECTION,
    "durations": optional(list_of(0)),
    "big_blank_durations": optional(list_of(0)),
}
_BOOSTS = ("model_path", "key_phrases_file", "key_phrases_list", "key_phrase_items_list")
_GREEDY_RULES = {
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
_LOSS_RULES = {
    "loss_name": optional(one_of("default", "warprnnt", "warprnnt_numba", "pytorch", "graph_rnnt")),
}
_TOKENIZER_RULES = {
    "type": one_of("bpe"),
    "model_path": TEXT,
    "vocab_path": optional(TEXT),
    "spe_tokenizer_vocab": optional(TEXT),
    "special_tokens": NOTHING,
    "custom_tokenizer": NOTHING,
    "langs": NOTHING,
}
_ROOT_RULES = {"sample_rate": whole(1000, 192_000), "adapters": NOTHING}


class Configuration:
    """A configuration whose classes are known, read section by section.

    Every method raises InputError, which names the file, the key, what was found and what is
    accepted.
    """

    def __init__(self, raw: Any, file: str) -> None:
        """Check the model's class, and every class and reference anywhere.

        Args:
            raw: plain data, as `parse_yaml` makes it.
            file: what messages call it.
        """
        self._file = file
        if not isinstance(raw, dict):
            raise InputError(f"{file}: found {shown(raw)}; accepted: sections of settings")
        self._raw = raw
        target = raw.get("target")
        if not isinstance(target, str) or target not in _MODEL_NAMES:
            self._refuse("target", target, _words(_MODEL_NAMES))
        self.model = _MODEL_NAMES[target]
        self._check_everywhere()

    def tokenizer(self, members: Mapping[str, Any]) -> str:
        """The member of the archive with the SentencePiece model."""
        section = self._some("tokenizer", self._raw.get("tokenizer"), _TOKENIZER_RULES)
        self._need("tokenizer", section, "type", "model_path")
        paths = [
            key for key in ("model_path", "vocab_path", "spe_tokenizer_vocab") if section.get(key)
        ]
        for key in paths:
            if section[key].removeprefix("nemo:") not in members:
                held = ", ".join(f"nemo:{name}" for name in sorted(members))
                self._refuse(f"tokenizer.{key}", section[key], f"a file of the archive: {held}")
        return str(section["model_path"]).removeprefix("nemo:")

    def settings(self, pieces: int) -> dict[str, Any]:
        """What NeMo gets, the tokenizer left out: the sections and settings that inference needs.

        `pieces` is the number of the tokenizer's. Where the file says it, it has to say the same.
        """
        counted = either(whole(-1, -1), whole(pieces, pieces))
        listed = optional(list_of(pieces))
        root = self._some("", self._raw, _ROOT_RULES | {"labels": listed})
        if self._raw.get("loss") is not None:
            self._some("loss", self._raw["loss"], _LOSS_RULES)
        preprocessor = self._part("preprocessor", PREPROCESSOR, _PREPROCESSOR_RULES)
        self._need("preprocessor", preprocessor, "sample_rate", "window_size", "window_stride")
        window = int(preprocessor["window_size"] * preprocessor["sample_rate"])
        if window > (preprocessor.get("n_fft") or window):
            self._refuse(
                "preprocessor.n_fft", preprocessor["n_fft"], f"{window}, a window, or more"
            )
        encoder = self._part("encoder", ENCODER, _ENCODER_RULES)
        self._need("encoder", encoder, "n_layers", "d_model", "feat_in")
        features = preprocessor.get("features", 64) * preprocessor.get("frame_splicing", 1)
        if encoder["feat_in"] != features:
            self._refuse("encoder.feat_in", encoder["feat_in"], f"{features}, as computed")
        if encoder["d_model"] % encoder.get("n_heads", 4):
            self._refuse("encoder.n_heads", encoder.get("n_heads", 4), "a divisor of d_model")
        defaults = self._some("model_defaults", self._raw.get("model_defaults"), _DEFAULTS_RULES)
        self._need("model_defaults", defaults, "enc_hidden", "pred_hidden")
        decoder = self._part("decoder", DECODER, _DECODER_RULES | {"vocab_size": counted})
        prednet = self._some("decoder.prednet", decoder.get("prednet"), _PREDNET_RULES)
        self._need("decoder.prednet", prednet, "pred_hidden", "pred_rnn_layers")
        vocabulary = {"num_classes": counted, "vocabulary": listed}
        joint = self._part("joint", JOINT, _JOINT_RULES | vocabulary)
        jointnet = self._some("joint.jointnet", joint.get("jointnet"), _JOINTNET_RULES)
        self._need("joint.jointnet", jointnet, "joint_hidden", "activation")
        joint.pop("vocabulary", None)
        # As NeMo's constructors do.
        decoder |= {"prednet": prednet, "vocab_size": pieces}
        jointnet |= {
            "encoder_hidden": defaults["enc_hidden"],
            "pred_hidden": defaults["pred_hidden"],
        }
        joint |= {"jointnet": jointnet, "num_classes": pieces}
        settings = {
            "target": self.model,
            "sample_rate": root.get("sample_rate", preprocessor["sample_rate"]),
            "compute_eval_loss": False,
            "log_prediction": False,
            "model_defaults": defaults,
            "preprocessor": preprocessor,
            "encoder": encoder,
            "decoder": decoder,
            "joint": joint,
            "decoding": self._decoding(),
        }
        if self.model == HYBRID:
            auxiliary = self._some("aux_ctc", self._raw.get("aux_ctc"), {"decoder": SECTION})
            rules = _CTC_RULES | {"num_classes": counted, "vocabulary": listed}
            head = self._part("aux_ctc.decoder", CTC_DECODER, rules, auxiliary.get("decoder"))
            head.pop("vocabulary", None)
            head |= {"num_classes": pieces, "feat_in": head.get("feat_in") or encoder["d_model"]}
            settings["aux_ctc"] = {"decoder": head, "decoding": {"strategy": "greedy"}}
        return settings

    def _decoding(self) -> dict[str, Any]:
        decoding = self._some("decoding", self._raw.get("decoding"), _DECODING_RULES)
        self._need("decoding", decoding, "strategy", "greedy")
        greedy = self._some("decoding.greedy", decoding["greedy"], _GREEDY_RULES)
        limits = ("max_symbols", "max_symbols_per_step")
        kept = {key: greedy[key] for key in (*limits, "loop_labels") if greedy.get(key) is not None}
        if not kept.keys() & set(limits):
            self._refuse(
                "decoding.greedy.max_symbols",
                None,
                "a whole number from 1, since unbounded decoding of a frame may never end",
            )
        return {"strategy": decoding["strategy"], "greedy": kept}

    def _part(
        self, name: str, kind: str, rules: Mapping[str, Rule], section: Any = None
    ) -> dict[str, Any]:
        """A section that a class is made of: all its settings are arguments, and known."""
        section = self._raw.get(name) if section is None else section
        found = self._some(name, section, rules)
        target = section.get("_target_")
        if _PART_NAMES.get(target) != kind:
            names = [known for known, part in _PART_NAMES.items() if part == kind]
            self._refuse(f"{name}._target_", target, _words(names))
        for key, value in section.items():
            if key not in rules and key != "_target_":
                word = kind.rpartition(".")[2]
                self._refuse(_dotted((name, key)), value, f"settings that {word} has")
        return {"_target_": kind, **found}

    def _some(self, name: str, section: Any, rules: Mapping[str, Rule]) -> dict[str, Any]:
        """The settings of a section that have a rule, each after it."""
        if not isinstance(section, dict):
            self._refuse(name, section, SECTION.accepted)
        found = {key: self._resolved(section[key]) for key in rules if key in section}
        for key, value in found.items():
            if not rules[key].fits(value):
                self._refuse(f"{name}.{key}".lstrip("."), value, rules[key].accepted)
        return found

    def _need(self, name: str, section: Mapping[str, Any], *keys: str) -> None:
        for key in keys:
            if section.get(key) is None:
                self._refuse(f"{name}.{key}", None, "a value, which the model cannot do without")

    def _resolved(self, value: Any, depth: int = 0) -> Any:
        """A value, or what a reference to another stands for; lists item by item."""
        if isinstance(value, list) and depth < _MOST_REFERENCES:
            return [self._resolved(item, depth + 1) for item in value]
        if not isinstance(value, str) or "${" not in value:
            return value
        reference = _REFERENCE.fullmatch(value)
        if reference is None or depth == _MOST_REFERENCES:
            return value  # which no rule takes
        found: Any = self._raw
        for key in reference[1].split("."):
            found = found.get(key) if isinstance(found, dict) else None
        # Lists of references to lists would grow without bound.
        return value if isinstance(found, dict | list) else self._resolved(found, depth + 1)

    def _check_everywhere(self) -> None:
        """Refuse classes that are not known, and references that compute something."""
        pending: list[tuple[tuple[Any, ...], Any]] = [((), self._raw)]
        visits = 0
        while pending:
            path, value = pending.pop()
            visits += 1
            if len(path) > _MOST_LEVELS or visits > _MOST_VISITS:
                raise InputError(f"{self._file}: {_dotted(path)}: aliases make it endless; refused")
            if isinstance(value, str) and "${" in _REFERENCE.sub("", value):
                self._refuse(_dotted(path), value, "text, or ${...} with the key of another value")
            if isinstance(value, list):
                items: Any = enumerate(value)
            elif isinstance(value, dict):
                items = value.items()
            else:
                continue
            for key, item in items:
                if key in _CLASS_KEYS and item is not None and not _known(item):
                    self._refuse(
                        _dotted((*path, key)),
                        item,
                        f"the classes of streaming transducers: {_words(_KNOWN)}",
                    )
                pending.append(((*path, key), item))

    def _refuse(self, key: str, found: Any, accepted: str) -> NoReturn:
        raise InputError(f"{self._file}: {key}: found {shown(found)}; accepted: {accepted}")


def _dotted(path: tuple[Any, ...]) -> str:
    return ".".join(one_line(key[:80]) if isinstance(key, str) else shown(key) for key in path)


def _known(name: Any) -> bool:
    return isinstance(name, str) and name in _KNOWN


def _words(names: Iterable[str]) -> str:
    """Class names without the modules, each once."""
    return ", ".join(sorted({name.rpartition(".")[2] for name in names}))
