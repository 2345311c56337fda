"""Recordings with texts: manifests, folders, data sets, and a cache of decoded speech."""
