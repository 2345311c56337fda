"""The runtime's tiny artifact serves the command line too."""

from tests.runtime.conftest import speech_like, tiny_artifact

__all__ = ["speech_like", "tiny_artifact"]
