"""Graph rewrites, one file each: what is matched, what replaces it, and a gate on the numbers."""

from quantkit.fuse.model import fuse_model

__all__ = ["fuse_model"]
