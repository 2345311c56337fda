"""Measure: step times, speed, memory and size of artifacts and of other people's graphs."""
