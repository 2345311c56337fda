"""Which tensor gets how many bits."""
