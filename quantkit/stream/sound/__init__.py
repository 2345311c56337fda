"""What an audio file is made of, byte for byte, before libsndfile decodes it.

Lengths in headers are claims: programs that stream, die or join files leave wrong ones. So the
structure of the common containers is walked here, and libsndfile gets a header that is true.
"""

from quantkit.stream.sound.part import Part
from quantkit.stream.sound.parts import find_parts
from quantkit.stream.sound.pieces import PiecesFile
from quantkit.stream.sound.source import Source, open_source

__all__ = ["Part", "PiecesFile", "Source", "find_parts", "open_source"]
