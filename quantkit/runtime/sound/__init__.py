"""What an audio file is made of, byte for byte, before libsndfile decodes it.

Lengths in headers are claims: programs that stream, die or join files leave wrong ones. So the
structure of the common containers is walked here, and libsndfile gets a header that is true.
"""

from quantkit.runtime.sound.parts import find_parts
from quantkit.runtime.sound.pieces import Part, PiecesFile
from quantkit.runtime.sound.source import Source, open_source

__all__ = ["Part", "PiecesFile", "Source", "find_parts", "open_source"]
