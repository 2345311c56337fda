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
from quantkit.nemo.loading.arguments import (
    CTC_RULES,
    DECODER_RULES,
    DECODING_RULES,
    DEFAULTS_RULES,
    ENCODER_RULES,
    GREEDY_RULES,
    JOINT_RULES,
    JOINTNET_RULES,
    LOSS_RULES,
    PREDNET_RULES,
    PREPROCESSOR_RULES,
    ROOT_RULES,
    TOKENIZER_RULES,
)
from quantkit.nemo.loading.rules import SECTION, Rule, either, list_of, optional, shown, whole

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
        section = self._some("tokenizer", self._raw.get("tokenizer"), TOKENIZER_RULES)
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
        root = self._some("", self._raw, ROOT_RULES | {"labels": listed})
        if self._raw.get("loss") is not None:
            self._some("loss", self._raw["loss"], LOSS_RULES)
        preprocessor = self._part("preprocessor", PREPROCESSOR, PREPROCESSOR_RULES)
        self._need("preprocessor", preprocessor, "sample_rate", "window_size", "window_stride")
        window = int(preprocessor["window_size"] * preprocessor["sample_rate"])
        if window > (preprocessor.get("n_fft") or window):
            self._refuse(
                "preprocessor.n_fft", preprocessor["n_fft"], f"{window}, a window, or more"
            )
        encoder = self._part("encoder", ENCODER, ENCODER_RULES)
        self._need("encoder", encoder, "n_layers", "d_model", "feat_in")
        features = preprocessor.get("features", 64) * preprocessor.get("frame_splicing", 1)
        if encoder["feat_in"] != features:
            self._refuse("encoder.feat_in", encoder["feat_in"], f"{features}, as computed")
        if encoder["d_model"] % encoder.get("n_heads", 4):
            self._refuse("encoder.n_heads", encoder.get("n_heads", 4), "a divisor of d_model")
        defaults = self._some("model_defaults", self._raw.get("model_defaults"), DEFAULTS_RULES)
        self._need("model_defaults", defaults, "enc_hidden", "pred_hidden")
        decoder = self._part("decoder", DECODER, DECODER_RULES | {"vocab_size": counted})
        prednet = self._some("decoder.prednet", decoder.get("prednet"), PREDNET_RULES)
        self._need("decoder.prednet", prednet, "pred_hidden", "pred_rnn_layers")
        vocabulary = {"num_classes": counted, "vocabulary": listed}
        joint = self._part("joint", JOINT, JOINT_RULES | vocabulary)
        jointnet = self._some("joint.jointnet", joint.get("jointnet"), JOINTNET_RULES)
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
            rules = CTC_RULES | {"num_classes": counted, "vocabulary": listed}
            head = self._part("aux_ctc.decoder", CTC_DECODER, rules, auxiliary.get("decoder"))
            head.pop("vocabulary", None)
            head |= {"num_classes": pieces, "feat_in": head.get("feat_in") or encoder["d_model"]}
            settings["aux_ctc"] = {"decoder": head, "decoding": {"strategy": "greedy"}}
        return settings

    def _decoding(self) -> dict[str, Any]:
        decoding = self._some("decoding", self._raw.get("decoding"), DECODING_RULES)
        self._need("decoding", decoding, "strategy", "greedy")
        greedy = self._some("decoding.greedy", decoding["greedy"], GREEDY_RULES)
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
