"""What a pool and a cluster both tell of workers that died."""


class WorkerLostError(Exception):
    """A worker was killed, and with it what it was working on."""
