"""The report of a comparison: its data, tables, plots, HTML and JUnit."""
