"""Algorithmic latency: what streaming costs however fast the machine is."""

from __future__ import annotations

from quantkit.runtime.settings import StreamingSettings

LATENCY_DEFINITION = (
    "the largest delay between the end of the audio that an encoder frame represents and the "
    "arrival of the last sample that the frame depends on; encoder frame k represents the audio "
    "up to the centre of mel frame (subsampling factor * k)"
)


def algorithmic_latency(settings: StreamingSettings) -> float:
    """Algorithmic latency in seconds, by `LATENCY_DEFINITION`.

    The first of a chunk's frames waits longest: attention lets it see the whole chunk, whose last
    mel frame is `factor * right_context` hops later and needs half a window past its centre.
    """
    hops = settings.subsampling_factor * settings.right_context
    samples = hops * settings.mel.hop_length + settings.mel.samples_after
    return samples / settings.sample_rate
