"""Recipes and suites as typed data: YAML with line numbers, JSON Schema. Light to import."""
