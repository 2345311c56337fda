"""An evaluation in a process of its own, which can be killed: it waits after each shard."""

from __future__ import annotations

import pickle
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from quantkit.evaluate import shards
from quantkit.evaluate.evaluation import evaluate
from quantkit.evaluate.workers import Workers


class Waiting:
    def track(self, items: Iterable[Any], total: int, what: str) -> Iterator[Any]:
        for item in items:
            print("shard", flush=True)
            sys.stdin.readline()
            yield item


if __name__ == "__main__":
    work, results, jobs = sys.argv[1:]
    shards.SHARD_S = 8.0
    systems, speech = pickle.loads(Path(work).read_bytes())
    evaluate(systems, speech, Path(results), Workers(int(jobs)), Waiting())
