"""Scripts that measure what README and docs claim."""
