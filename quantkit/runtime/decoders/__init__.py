"""From encodings to tokens."""
