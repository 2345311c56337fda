"""The run of a comparison: what its recipes build, measured and put into rows."""
