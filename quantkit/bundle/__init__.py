"""Layouts that runtimes load: the native artifact directory and its manifest."""
