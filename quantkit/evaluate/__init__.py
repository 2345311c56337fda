"""What systems say about utterances: computed once, kept, in parallel, resumable."""

from quantkit.evaluate.evaluation import evaluate
from quantkit.evaluate.workers import Workers

__all__ = ["Workers", "evaluate"]
