"""The report of a comparison: its schema, tables, plots, HTML, Markdown and JUnit."""
