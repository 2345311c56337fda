"""The recipe of the small demo model: data, training, evaluation and its card."""
