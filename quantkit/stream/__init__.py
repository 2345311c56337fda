"""The CPU runtime: streaming log-mel, encoder step, greedy transducer. No torch, no NeMo."""

from quantkit.stream.audio import AudioBlocks, AudioWarning, read_audio, read_blocks
from quantkit.stream.chunks import Chunk, ChunkWindows
from quantkit.stream.encoder import EncoderStep
from quantkit.stream.greedy import GreedyDecoder, Hypothesis, Token, TransducerModel
from quantkit.stream.latency import LATENCY_DEFINITION, algorithmic_latency
from quantkit.stream.mel import LogMel, slaney_filters
from quantkit.stream.pool import PooledStream, StreamPool
from quantkit.stream.realtime import paced
from quantkit.stream.sessions import check_session, open_session
from quantkit.stream.settings import MelSettings, StreamingSettings
from quantkit.stream.tokens import Vocabulary
from quantkit.stream.track import StreamWarning
from quantkit.stream.transcriber import Stream, TimedToken, Transcriber, Transcript
from quantkit.stream.transducer import Prediction, Transducer

__all__ = [
    "LATENCY_DEFINITION",
    "AudioBlocks",
    "AudioWarning",
    "Chunk",
    "ChunkWindows",
    "EncoderStep",
    "GreedyDecoder",
    "Hypothesis",
    "LogMel",
    "MelSettings",
    "PooledStream",
    "Prediction",
    "Stream",
    "StreamPool",
    "StreamWarning",
    "StreamingSettings",
    "TimedToken",
    "Token",
    "Transcriber",
    "Transcript",
    "Transducer",
    "TransducerModel",
    "Vocabulary",
    "algorithmic_latency",
    "check_session",
    "open_session",
    "paced",
    "read_audio",
    "read_blocks",
    "slaney_filters",
]
