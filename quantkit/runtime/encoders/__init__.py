"""From mel frames to encodings."""
