"""Graph rewrites, one file each: what is matched and what replaces it."""
