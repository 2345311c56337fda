"""What a worker does: evaluate one shard and keep its records."""

from __future__ import annotations

import socket
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

from threadpoolctl import threadpool_limits

from quantkit.core.errors import InputError
from quantkit.evaluate.keys import system_digest
from quantkit.evaluate.record import Record
from quantkit.evaluate.results import Results
from quantkit.evaluate.run_graphs import open_graphs
from quantkit.evaluate.shards import Shard
from quantkit.evaluate.system import GraphSystem, System
from quantkit.speech.utterances import SuiteUtterance


def run_shard(shard: Shard, root: Path) -> tuple[str, str]:
    """Evaluate a shard, keep its records in `root`, the directory of all results; return its key.

    Everything computes in one thread, so that nothing depends on the number of workers.

    Raises:
        InputError: a model or recording is wrong, or other code or files are here than where the
            shard was cut.
    """
    results = Results(root / shard.results)
    if system_digest(shard.system) != shard.results or not results.is_described():
        raise InputError(
            f"{socket.gethostname()}: here quantkit or a library is another one than where the "
            f"evaluation was started, or was changed meanwhile, or {root} is not the same "
            "directory; run the command again with the same versions and files everywhere"
        )
    with threadpool_limits(1):
        evaluate = open_system(shard.system, root)
        records = [evaluate(utterance) for utterance in shard.utterances]
    results.write_part(shard.name, records)
    return shard.key


@lru_cache(maxsize=1)
def open_system(system: System, root: Path) -> Callable[[SuiteUtterance], Record]:
    """The system, ready to run; the last one stays open, since shards come system by system."""
    if isinstance(system, GraphSystem):
        return open_graphs(system, root)
    from quantkit.evaluate.run_nemo import open_nemo  # torch takes seconds to import

    return open_nemo(system, root)
