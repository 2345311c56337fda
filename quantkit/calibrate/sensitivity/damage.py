"""The damage of one changed graph: its distributions against those of the float32 model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx_ir as ir
import onnxruntime as ort
from numpy.typing import NDArray

from quantkit.calibrate.observe import session_of
from quantkit.calibrate.sensitivity.reference import FloatUtterance
from quantkit.core.divergence import kl_divergence
from quantkit.runtime import trace
from quantkit.runtime.decoders.transducer import Transducer
from quantkit.runtime.encoders.cache_aware import EncoderStep
from quantkit.runtime.sessions import open_session
from quantkit.runtime.settings import SETTINGS_FILE, StreamingSettings


@dataclass(frozen=True)
class Damage:
    """KL(float32 || changed) in nats over all decisions, and the share whose best symbol moved."""

    kl_mean: float
    kl_p99: float
    flips: float


class DamageMeter:
    """Runs changed graphs over speech whose float32 distributions are known.

    May be asked by several threads at a time.
    """

    def __init__(self, model: Path, utterances: Sequence[FloatUtterance]) -> None:
        """Take the float32 model's directory and what it says of the speech."""
        self._model = model
        self._utterances = utterances
        self._settings = StreamingSettings.load(model / SETTINGS_FILE)
        self.contract = self._settings.contract
        self._decoder = {
            graph.name: open_session(model / graph.file, threads=1)
            for graph in (self.contract.predictor, self.contract.joint)
        }

    def damage(self, graph: str, changed: ir.Model) -> Damage:
        """What a changed form of one of the graphs does, teacher-forced along the float32 path.

        Only a changed encoder encodes again.

        Args:
            graph: the one that was changed.
            changed: its weights in memory, or in the float32 model's directory.
        """
        session = session_of(changed, self._model)
        encodes = graph == self.contract.encoder.name
        predictor, joint = (self._decoder | ({} if encodes else {graph: session})).values()
        transducer = Transducer(predictor, joint, self._settings)
        divergences, flips = [], []
        for utterance in self._utterances:
            encoded = self._encode(session, utterance) if encodes else utterance.encoded
            found = trace.log_probabilities(
                transducer, encoded, utterance.tokens, utterance.token_frames
            )
            divergences.append(kl_divergence(utterance.log_probabilities, found))
            flips.append(found.argmax(axis=-1) != utterance.log_probabilities.argmax(axis=-1))
        divergence = np.concatenate(divergences)
        return Damage(
            kl_mean=float(divergence.mean()),
            kl_p99=float(np.quantile(divergence, 0.99)),
            flips=float(np.concatenate(flips).mean()),
        )

    def _encode(
        self, session: ort.InferenceSession, utterance: FloatUtterance
    ) -> NDArray[np.float32]:
        step = EncoderStep(session, self._settings)
        return np.concatenate([step.step(window)[0] for window in utterance.windows])
