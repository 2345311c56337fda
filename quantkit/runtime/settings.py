"""What a streaming artifact says about itself in streaming.json, as typed, checked data."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from quantkit.core.errors import InputError
from quantkit.core.strict_json import read_json
from quantkit.runtime.contract import Contract, read_contract, transducer_contract
from quantkit.runtime.sizes import Sizes, read_sizes

SETTINGS_FILE = "streaming.json"
SCHEMA = 2
_MOST_BYTES = 2**20

LATENCY_DEFINITION = (
    "the largest delay between the end of the audio that an encoder frame represents and the "
    "arrival of the last sample that the frame depends on; encoder frame k represents the audio "
    "up to the center of mel frame (subsampling factor * k)"
)


@dataclass(frozen=True)
class StreamingSettings(Sizes):
    """Everything that the runtime needs to know to stream audio through an artifact's graphs."""

    contract: Contract

    def to_dict(self) -> dict[str, Any]:
        """The content of a streaming.json; what is None is left out."""
        content = asdict(self, dict_factory=lambda items: {k: v for k, v in items if v is not None})
        return {"schema": SCHEMA, **content}

    @classmethod
    def load(cls, path: Path) -> StreamingSettings:
        """Read a streaming.json, or the one of an artifact directory.

        Raises:
            InputError: the file is missing, is not JSON, is of another kind, lacks a key, or its
                numbers contradict each other.
        """
        path = path / SETTINGS_FILE if path.is_dir() else path
        try:
            content = read_json(path, _MOST_BYTES)
        except InputError as error:
            raise InputError(
                f"{error}. 'quantkit build' writes it into an artifact directory; build the "
                "artifact again."
            ) from error
        return cls.from_dict(content, path)

    @classmethod
    def from_dict(cls, content: Any, path: Path = Path(SETTINGS_FILE)) -> StreamingSettings:
        """Check parsed JSON; `path` is what messages call it. Unknown keys are ignored."""
        if not isinstance(content, dict) or "schema" not in content:
            raise InputError(
                f"{path}: is not a quantkit streaming file: it has no key 'schema'. "
                f"Found {_outline(content)}."
            )
        if content["schema"] != SCHEMA:
            raise InputError(
                f"{path}: key 'schema' is {content['schema']!r}; this quantkit reads schema "
                f"{SCHEMA}. Export the model again with this version."
            )
        sizes = read_sizes(content, path)
        if "contract" in content:
            contract = read_contract(content["contract"], sizes, f"{path}: contract")
        else:
            contract = transducer_contract(sizes)
        return cls(**vars(sizes), contract=contract)


def _outline(content: Any) -> str:
    if isinstance(content, dict):
        return "the keys " + (", ".join(map(repr, list(content)[:8])) or "(none)")
    return f"a JSON {type(content).__name__}"


def algorithmic_latency(settings: Sizes) -> float:
    """Algorithmic latency in seconds, by `LATENCY_DEFINITION`.

    The first of a chunk's frames waits longest: attention lets it see the whole chunk, whose last
    mel frame is `factor * right_context` hops later and needs half a window past its center.
    """
    hops = settings.subsampling_factor * settings.right_context
    samples = hops * settings.mel.hop_length + settings.mel.samples_after
    return samples / settings.sample_rate
