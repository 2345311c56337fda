"""Evaluation suites: sets of speech with texts, from manifests, folders and data sets."""
