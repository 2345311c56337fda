"""One folder for each runtime that loads an artifact, and the artifact's manifest."""
