"""How codes, scales and zero points lie in a graph."""
