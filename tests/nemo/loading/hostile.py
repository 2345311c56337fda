"""Checkpoints that somebody might send, made of a sound one: each with a word for what it is."""

from __future__ import annotations

import bz2
import copy
import gzip
import io
import os
import pickle
import struct
import tarfile
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import torch
import yaml

from tests.models.random_model import build_model, save_model
from tests.models.shape import SMALL

CONFIGURATION, WEIGHTS = "model_config.yaml", "model_weights.ckpt"
_SHELL = {
    "_target_": "torch.nn.ModuleList",
    "modules": {
        "_target_": "nemo.collections.asr.data.audio_to_text.TarredAudioToBPEDataset",
        "audio_tar_filepaths": ["pipe:touch intruded"],
        "manifest_filepath": "/dev/null",
        "sample_rate": 16000,
        "tokenizer": {"_target_": "torch.nn.Identity"},
    },
}
_WRITER = {
    "_target_": "nemo.collections.asr.parts.utils.manifest_utils.write_manifest",
    "output_path": "intruded",
    "target_manifest": [{"a": 1}],
}
_MODELS, _MODULES = "nemo.collections.asr.models", "nemo.collections.asr.modules"


@dataclass
class Parts:
    """What a `.nemo` is made of."""

    config: dict[str, Any]
    files: dict[str, bytes]

    def write(self, path: Path) -> None:
        text = yaml.safe_dump(self.config).encode()
        path.write_bytes(tar({CONFIGURATION: text, **self.files}))


def sound_parts() -> Parts:
    """Those of a small sound checkpoint, which is made once."""
    return copy.deepcopy(_sound_parts())


@cache
def _sound_parts() -> Parts:
    files = {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "sound.nemo"
        save_model(build_model(replace(SMALL, layers=1)), path)
        packed = path.read_bytes()
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        for found in archive:
            content = archive.extractfile(found)
            assert content is not None
            files[found.name] = content.read()
    return Parts(yaml.safe_load(files.pop(CONFIGURATION)), files)


Make = Callable[[Parts, Path], None]


def tar(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in files.items():
            archive.addfile(member(name, len(content)), io.BytesIO(content))
    return buffer.getvalue()


def member(name: str, size: int = 0, **attributes: Any) -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.size = size
    for key, value in attributes.items():
        setattr(made, key, value)
    return made


def setting(key: str, value: Any) -> Make:
    """A value put at a dotted key."""

    def make(parts: Parts, path: Path) -> None:
        *above, last = key.split(".")
        section = parts.config
        for name in above:
            section[name] = section.get(name) or {}
            section = section[name]
        section[last] = copy.deepcopy(value)
        parts.write(path)

    return make


def without(key: str) -> Make:
    def make(parts: Parts, path: Path) -> None:
        *above, last = key.split(".")
        section = parts.config
        for name in above:
            section = section[name]
        del section[last]
        parts.write(path)

    return make


def text(content: bytes) -> Make:
    """Another configuration, as bytes."""

    def make(parts: Parts, path: Path) -> None:
        path.write_bytes(tar({CONFIGURATION: content, **parts.files}))

    return make


def added(content: bytes) -> Make:
    """Lines after the configuration."""

    def make(parts: Parts, path: Path) -> None:
        whole = yaml.safe_dump(parts.config).encode() + content
        path.write_bytes(tar({CONFIGURATION: whole, **parts.files}))

    return make


def file(name: str, content: bytes) -> Make:
    """Another file of the archive."""

    def make(parts: Parts, path: Path) -> None:
        parts.files[name] = content
        parts.write(path)

    return make


def state(change: Callable[[dict[str, Any]], Any]) -> Make:
    """Other weights, as PyTorch saves them."""

    def make(parts: Parts, path: Path) -> None:
        found = torch.load(io.BytesIO(parts.files[WEIGHTS]), weights_only=True)
        buffer = io.BytesIO()
        torch.save(change(dict(found)), buffer)
        parts.files[WEIGHTS] = buffer.getvalue()
        parts.write(path)

    return make


def zipped(change: Callable[[str, bytes], bytes], how: int = zipfile.ZIP_STORED) -> Make:
    """The records of the weights changed one by one."""

    def make(parts: Parts, path: Path) -> None:
        buffer = io.BytesIO()
        with (
            zipfile.ZipFile(io.BytesIO(parts.files[WEIGHTS])) as old,
            zipfile.ZipFile(buffer, "w", how) as new,
        ):
            for name in old.namelist():
                new.writestr(name, change(name, old.read(name)))
        parts.files[WEIGHTS] = buffer.getvalue()
        parts.write(path)

    return make


def pickled(content: bytes) -> Make:
    """Weights with another pickle."""
    return zipped(lambda name, old: content if name.endswith("data.pkl") else old)


def entry(*members: tarfile.TarInfo) -> Make:
    """The sound archive, headers put before it."""

    def make(parts: Parts, path: Path) -> None:
        parts.write(path)
        heads = b"".join(made.tobuf(tarfile.PAX_FORMAT) for made in members)
        path.write_bytes(heads + path.read_bytes())

    return make


def packed(pack: Callable[[bytes], bytes]) -> Make:
    def make(parts: Parts, path: Path) -> None:
        path.write_bytes(pack(tar(parts.files | {"junk": bytes(1 << 26)})))

    return make


def doubled(name: str, again: str) -> Make:
    def make(parts: Parts, path: Path) -> None:
        parts.write(path)
        extra = tar({again: b"{}" if name == CONFIGURATION else parts.files[name]})
        path.write_bytes(_joined(extra, path))

    return make


def _joined(first: bytes, path: Path) -> bytes:
    """Two archives as one: the first one's end is left out."""
    with tarfile.open(fileobj=io.BytesIO(first)) as archive:
        [found] = archive.getmembers()
    end = found.offset_data + -(-found.size // 512) * 512
    return first[:end] + path.read_bytes()


class Intruder:
    """Unpickling this would run a command."""

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, ("touch intruded",)


class Bomb:
    """Unpickling this would take a terabyte."""

    def __reduce__(self) -> tuple[type, tuple[int]]:
        return bytearray, (1 << 40,)


def _with(name: str, value: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda found: {**found, name: value}


def _swollen(found: dict[str, Any]) -> dict[str, Any]:
    """A million layers' worth of one storage."""
    one = torch.zeros(1 << 18)
    return {**found, **{f"encoder.layers.{i}.norm_out.weight": one for i in range(100)}}


def _extended(key: bytes, value: bytes, chain: int = 1) -> Make:
    """Extended headers before the sound archive."""

    def make(parts: Parts, path: Path) -> None:
        parts.write(path)
        body = key + b"=" + value + b"\n"
        length = len(body) + 1
        length += len(str(length + len(str(length))))
        record = str(length).encode() + b" " + body
        head = member("x", len(record), type=tarfile.XHDTYPE).tobuf(tarfile.USTAR_FORMAT)
        block = head + record.ljust(-(-len(record) // 512) * 512, b"\0")
        path.write_bytes(block * chain + path.read_bytes())

    return make


def _resized(size: bytes) -> Make:
    """The first member's size said to be another, with a checksum that is right."""

    def make(parts: Parts, path: Path) -> None:
        parts.write(path)
        content = bytearray(path.read_bytes())
        content[124:136] = size
        content[148:156] = b" " * 8
        content[148:156] = b"%06o\0 " % sum(content[:512])
        path.write_bytes(content)

    return make


_LAUGHS = b"\n".join(
    [b"l0: &l0 [x, x, x, x, x, x, x, x]"]
    + [b"l%d: &l%d [%s]" % (i, i, b", ".join([b"*l%d" % (i - 1)] * 8)) for i in range(1, 20)]
)
_MERGES = b"\n".join(
    [b"m0: &m0 {a: 1, b: 2}"]
    + [b"m%d: &m%d {<<: [%s]}" % (i, i, b", ".join([b"*m%d" % (i - 1)] * 8)) for i in range(1, 20)]
)


def _respelled(parts: Parts, path: Path) -> None:
    """A piece that acts on a terminal."""
    pieces = parts.files["tokenizer.model"]
    parts.files["tokenizer.model"] = pieces.replace("\u2581".encode(), b"\x1b]0", 1)
    parts.write(path)


# A tuple of two of a tuple of two and so on, 2^40 in all, which is number 40 of the memo.
_WIDE = b"]()q\0" + b"".join(b"h%ch%c\x86q%c" % (i, i, i + 1) for i in range(40)) + b"ta"


def _storage(key: bytes, count: bytes) -> bytes:
    """A pickle's instructions for a storage."""
    kind = b"ctorch\nFloatStorage\n"
    return b"(X\x07\0\0\0storage" + kind + key + b"X\x03\0\0\0cpu" + count + b"tQ"


#: What it is, how it is made, and the word that its refusal says.
CASES: list[tuple[str, Make, str]] = [
    # Code
    ("a shell in the preprocessor", setting("preprocessor", _SHELL), "preprocessor._target_"),
    ("a file written by it", setting("preprocessor", _WRITER), "preprocessor._target_"),
    ("a shell in the encoder", setting("encoder", _SHELL), "encoder._target_"),
    ("a shell in a setting", setting("encoder.att_context_size", _SHELL), "att_context_size"),
    ("a shell in the loss", setting("loss.x", _SHELL), "loss.x._target_"),
    ("a shell in spec_augment", setting("spec_augment", _SHELL), "spec_augment._target_"),
    ("a command in train_ds", setting("train_ds.a", [[{"_target_": "os.system"}]]), "train_ds.a"),
    ("a process in optim", setting("optim.sched._target_", "subprocess.Popen"), "optim.sched"),
    ("a class of old", setting("validation_ds.cls", "subprocess.Popen"), "validation_ds.cls"),
    ("a target inside", setting("interctc.target", "os.system"), "interctc.target"),
    ("a target by reference", setting("encoder._target_", "${labels}"), "encoder._target_"),
    ("a target that is a list", setting("encoder._target_", ["os.system"]), "encoder._target_"),
    ("a module as a class", setting("decoder._target_", "torch.load"), "decoder._target_"),
    ("arguments of Hydra", setting("encoder._args_", [1]), "encoder._args_"),
    ("a custom tokenizer", setting("tokenizer.custom_tokenizer", {"a": 1}), "custom_tokenizer"),
    ("the environment", setting("encoder.d_model", "${oc.env:HOME}"), "encoder.d_model"),
    ("the environment in training", setting("train_ds.x", "a ${oc.env:HOME}"), "train_ds.x"),
    ("a resolver within one", setting("optim.lr", "${oc.decode:${x}}"), "optim.lr"),
    ("a reference to itself", setting("encoder.d_model", "${encoder.d_model}"), "encoder.d_model"),
    ("references in text", setting("encoder.subsampling", "x${target}"), "encoder.subsampling"),
    ("a value that is missing", setting("preprocessor.normalize", "???"), "normalize"),
    ("a list of lists", setting("encoder.att_context_size", ["${labels}"] * 9), "att_context"),
    ("boosted phrases", setting("decoding.greedy.boosting_tree.model_path", "/x"), "boosting_tree"),
    ("a language model", setting("decoding.greedy.ngram_lm_model", "/etc/passwd"), "ngram_lm"),
    # Family
    ("no class", without("target"), "target: found nothing"),
    ("a prompt", setting("target", f"{_MODELS}.EncDecRNNTBPEModelWithPrompt"), "WithPrompt"),
    (
        "a hybrid with a prompt",
        setting(
            "target",
            f"{_MODELS}.hybrid_rnnt_ctc_bpe_models_prompt.EncDecHybridRNNTCTCBPEModelWithPrompt",
        ),
        "accepted: EncDecHybridRNNTCTCBPEModel, EncDecRNNTBPEModel",
    ),
    ("a CTC model", setting("target", f"{_MODELS}.EncDecCTCModelBPE"), "EncDecCTCModelBPE"),
    ("characters", setting("target", f"{_MODELS}.EncDecRNNTModel"), "EncDecRNNTModel"),
    ("an unknown class", setting("target", "a.b.C"), "target"),
    ("a number as class", setting("target", 3), "target"),
    ("adapters", setting("adapters", {"a": {"enabled": True}}), "adapters"),
    (
        "an encoder with adapters",
        setting("encoder._target_", f"{_MODULES}.conformer_encoder.ConformerEncoderAdapter"),
        "encoder._target_",
    ),
    (
        "another decoder",
        setting("decoder._target_", f"{_MODULES}.StatelessTransducerDecoder"),
        "dec",
    ),
    ("another joint", setting("joint._target_", f"{_MODULES}.HATJoint"), "joint._target_"),
    ("swapped parts", setting("joint._target_", f"{_MODULES}.RNNTDecoder"), "RNNTJoint"),
    ("durations", setting("joint.num_extra_outputs", 5), "joint.num_extra_outputs"),
    ("a loss of durations", setting("loss.loss_name", "tdt"), "loss.loss_name"),
    ("durations of decoding", setting("decoding.durations", [0, 1]), "decoding.durations"),
    ("a beam", setting("decoding.strategy", "beam"), "decoding.strategy"),
    ("a projected LSTM", setting("decoder.prednet.rnn_hidden_size", 8), "rnn_hidden_size"),
    ("not chunked", setting("encoder.att_context_style", "regular"), "att_context_style"),
    # Text
    ("a list", text(b"- a\n- b\n"), "sections"),
    ("nothing", text(b""), "found nothing"),
    ("not UTF-8", text(b"\xff\xfe\x00"), "UTF-8"),
    ("not YAML", text(b"a: [1"), "not YAML"),
    ("a hundred thousand levels", text(b"a: " + b"[" * 100_000), "levels"),
    ("a python tag", text(b"a: !!python/object/apply:os.system [touch intruded]"), "tag"),
    ("laughs", added(_LAUGHS), "endless"),
    ("a circle", added(b"c: &c [*c]"), "endless"),
    ("merges", added(_MERGES), "merge"),
    ("a key twice", added(b"target: os.system"), "twice"),
    ("two documents", added(b"---\na: 1\n"), "second document"),
    ("a key that is a list", added(b"? [a]\n: 1\n"), "key"),
    ("an alias of nothing", added(b"z: *z\n"), "alias"),
    ("nine megabytes", added(b"#" * 9_000_000), "bytes"),
    ("300,000 values", added(b"z: [" + b"1," * 300_000 + b"]"), "values"),
    # Values
    ("no encoder", without("encoder"), "encoder"),
    ("no decoder", without("decoder"), "decoder"),
    ("no joint", without("joint"), "joint"),
    ("no preprocessor", without("preprocessor"), "preprocessor"),
    ("no decoding", without("decoding"), "decoding"),
    ("no defaults", without("model_defaults"), "model_defaults"),
    ("no tokenizer", without("tokenizer"), "tokenizer"),
    ("no layers", without("encoder.n_layers"), "encoder.n_layers"),
    ("no prednet", without("decoder.prednet"), "decoder.prednet"),
    ("no limit of symbols", without("decoding.greedy.max_symbols"), "max_symbols"),
    ("an encoder that is a text", setting("encoder", "x"), "encoder"),
    ("a setting unknown", setting("encoder.magic", 1), "encoder.magic"),
    ("minus one layer", setting("encoder.n_layers", -1), "encoder.n_layers"),
    ("0 layers", setting("encoder.n_layers", 0), "encoder.n_layers"),
    ("2 layers of 1", setting("encoder.n_layers", 2), "encoder.n_layers"),
    ("1e8 layers", setting("encoder.n_layers", 10**8), "encoder.n_layers"),
    ("5,000 digits", added(b"z: &n " + b"9" * 5000 + b"\nsample_rate: *n\n"), "twice"),
    ("layers as text", setting("encoder.n_layers", "1"), "encoder.n_layers"),
    ("dropout of 4,000 digits", setting("encoder.dropout", int("9" * 4000)), "encoder.dropout"),
    ("an hour of 300 parts", added(b"adapters: 1" + b":00" * 300 + b".0\n"), "adapters"),
    ("masked without end", setting("joint.masking_prob", -(10**400)), "masking_prob"),
    (
        "keys of one hash",
        added(b"z: {" + b", ".join(b"%d: 1" % (i << 61) for i in range(9)) + b"}\n"),
        "key",
    ),
    ("filters of other areas", setting("preprocessor.mel_norm", None), "mel_norm"),
    ("true layers", setting("encoder.n_layers", True), "encoder.n_layers"),
    ("1.5 layers", setting("encoder.n_layers", 1.5), "encoder.n_layers"),
    ("width 1e6", setting("encoder.d_model", 10**6), "encoder.d_model"),
    ("width 8,192", setting("encoder.d_model", 8192), "different models"),
    ("width 63", setting("encoder.d_model", 63), "encoder.n_heads"),
    ("wide feet", setting("encoder.ff_expansion_factor", 64), "feed_forward"),
    ("3 heads", setting("encoder.n_heads", 3), "encoder.n_heads"),
    ("a wide kernel", setting("encoder.conv_kernel_size", 255), "depthwise_conv"),
    ("an even kernel", setting("encoder.conv_kernel_size", 8), "encoder.conv_kernel_size"),
    ("an odd context", setting("encoder.conv_context_size", [5, 5]), "model_config.yaml: encoder:"),
    ("many positions", setting("encoder.pos_emb_max_len", 10**9), "pos_emb_max_len"),
    ("a long context", setting("encoder.att_context_size", [[10**9, 0]]), "att_context_size"),
    ("a context in words", setting("encoder.att_context_size", "long"), "att_context_size"),
    ("an odd stem", setting("encoder.subsampling", "magic"), "NeMo"),
    ("factor 2^40", setting("encoder.subsampling_factor", 1 << 40), "subsampling_factor"),
    ("dropout 2", setting("encoder.dropout", 2), "encoder.dropout"),
    ("100 LSTM layers", setting("decoder.prednet.pred_rnn_layers", 100), "pred_rnn_layers"),
    ("prediction -1", setting("decoder.prednet.pred_hidden", -1), "pred_hidden"),
    ("joint 8,192", setting("joint.jointnet.joint_hidden", 8192), "different models"),
    ("1e9 pieces", setting("decoder.vocab_size", 10**9), "decoder.vocab_size"),
    ("one label", setting("labels", ["a"]), "labels"),
    ("classes", setting("joint.num_classes", 7), "joint.num_classes"),
    ("n_fft 1e9", setting("preprocessor.n_fft", 10**9), "n_fft"),
    ("n_fft 128", setting("preprocessor.n_fft", 128), "n_fft"),
    ("1e6 mels", setting("preprocessor.features", 10**6), "features"),
    ("not a stride", setting("preprocessor.window_stride", float("nan")), "window_stride"),
    ("rate 0", setting("preprocessor.sample_rate", 0), "sample_rate"),
    ("a guard in words", setting("preprocessor.log_zero_guard_value", "eps"), "guard_value"),
    ("1e9 symbols", setting("decoding.greedy.max_symbols", 10**9), "max_symbols"),
    ("a flag in words", setting("encoder.use_bias", "no"), "use_bias"),
    # Tokenizer
    ("a hub's tokenizer", setting("tokenizer.type", "wpe"), "tokenizer.type"),
    ("several tokenizers", setting("tokenizer.type", "agg"), "tokenizer.type"),
    ("a path", setting("tokenizer.model_path", "/etc/passwd"), "tokenizer.model_path"),
    ("a path up", setting("tokenizer.model_path", "nemo:../x"), "tokenizer.model_path"),
    ("a list of pieces", setting("tokenizer.spe_tokenizer_vocab", "/etc/passwd"), "vocab"),
    ("no such member", setting("tokenizer.model_path", "nemo:gone"), "nemo:gone"),
    ("no model path", without("tokenizer.model_path"), "tokenizer.model_path"),
    ("no SentencePiece", file("tokenizer.model", b"hello"), "SentencePiece"),
    ("a terminal's piece", _respelled, "control characters"),
    ("an empty tokenizer", file("tokenizer.model", b""), "SentencePiece"),
    # Archive
    ("a bomb of bzip2", packed(bz2.compress), "bzip2"),
    ("a bomb of gzip", packed(gzip.compress), "grows"),
    ("a short gzip", packed(lambda raw: gzip.compress(raw[:5000])[:-20]), "not a complete"),
    ("a link", entry(member("l", type=tarfile.SYMTYPE, linkname="/etc/passwd")), "neither"),
    ("a hard link", entry(member("l", type=tarfile.LNKTYPE, linkname=WEIGHTS)), "neither"),
    ("a pipe", entry(member("l", type=tarfile.FIFOTYPE)), "neither"),
    ("a device", entry(member("l", type=tarfile.CHRTYPE)), "neither"),
    ("old holes", entry(member("l", type=tarfile.GNUTYPE_SPARSE)), "holes"),
    ("a way out", entry(member("../out")), "leaves"),
    ("a place", entry(member("/etc/out")), "leaves"),
    ("a terabyte", _resized(b"\x80" + (1 << 40).to_bytes(11)), "not a complete"),
    ("less than nothing", _resized(b"\xff" * 12), "damaged"),
    ("no number", _resized(b"9" * 12), "damaged"),
    ("new holes", _extended(b"GNU.sparse.realsize", b"1099511627776"), "holes"),
    ("a size beside", _extended(b"size", b"1099511627776"), "not a complete"),
    ("a negative size beside", _extended(b"size", b"-512"), "no number"),
    ("a name beside", _extended(b"path", b"/etc/out"), "leaves"),
    ("a long name", _extended(b"path", b"a" * 100_000), "extended header"),
    ("a chain of headers", _extended(b"comment", b"x", 2000), "entries"),
    ("many entries", entry(*(member(f"{i}") for i in range(2000))), "entries"),
    ("two configurations", doubled(CONFIGURATION, CONFIGURATION), "twice"),
    ("two by a dot", doubled(CONFIGURATION, f"./{CONFIGURATION}"), "twice"),
    ("two by a capital", doubled(CONFIGURATION, "Model_Config.yaml"), "twice"),
    ("two weights", doubled(WEIGHTS, f".//{WEIGHTS}"), "twice"),
    # Weights
    ("a command", state(_with("x", Intruder())), "more than tensors"),
    ("a terabyte of bytes", state(_with("x", Bomb())), "more than tensors"),
    ("a sparse tensor", state(_with("x", torch.eye(2).to_sparse())), "more than tensors"),
    ("a number", state(_with("x", 3)), "not a state dict"),
    ("a list of weights", state(lambda found: list(found.values())), "not a state dict"),
    ("a nested dict", state(lambda found: {"state_dict": found}), "not a state dict"),
    ("stretched", state(_with("x", torch.zeros(1).expand(1 << 40))), "shape"),
    ("one storage often", state(_swollen), "in a file of"),
    ("a tensor more", state(_with("prompt_kernel.weight", torch.zeros(2))), "prompt_kernel"),
    ("a tensor less", state(lambda found: dict(list(found.items())[:-1])), "no such tensor"),
    ("whole numbers", state(lambda f: {k: v.long() for k, v in f.items()}), "int64"),
    ("bytes", state(lambda f: {k: v.to(torch.int8) for k, v in f.items()}), "more than tensors"),
    ("a plain pickle", file(WEIGHTS, pickle.dumps({"x": Intruder()})), "damaged"),
    ("no bytes", file(WEIGHTS, b""), "damaged"),
    ("deflated", zipped(lambda _, old: old, zipfile.ZIP_DEFLATED), "compressed"),
    ("short records", zipped(lambda n, old: old[:8] if "/data/" in n else old), "values"),
    ("a high memo", pickled(b"\x80\x02}r\xff\xff\xff\xff."), "n_layers"),
    ("a huge array", pickled(b"\x80\x05\x96" + struct.pack("<Q", 1 << 40) + b"."), "damaged"),
    ("deep tuples", pickled(b"\x80\x02" + b")" + b"\x85" * 100_000 + b"."), "not a state dict"),
    ("a deep key", pickled(b"\x80\x02})" + b"\x85" * 900_000 + b"K\x01s."), "no text"),
    ("a wide key", pickled(b"\x80\x02" + _WIDE + b"}h(K\x01sa."), "no text"),
    ("wide keys", pickled(b"\x80\x02" + _WIDE + b"}(h(K\x01ua."), "no text"),
    (
        "a wide key of a call",
        pickled(b"\x80\x02" + _WIDE + b"ccollections\nOrderedDict\nh(N\x86\x85\x85Ra."),
        "damaged",
    ),
    ("a wide storage", pickled(b"\x80\x02" + _WIDE + _storage(b"h(", b"K\x01") + b"a."), "kind"),
    (
        "a wide count",
        pickled(b"\x80\x02" + _WIDE + _storage(b"X\x01\0\0\x000", b"h(") + b"a."),
        "kind",
    ),
    ("half a pickle", pickled(b"\x80\x02}q\x00("), "damaged"),
]
