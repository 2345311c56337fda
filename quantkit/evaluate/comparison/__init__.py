"""Records of several systems on one suite, summed up for a report."""
