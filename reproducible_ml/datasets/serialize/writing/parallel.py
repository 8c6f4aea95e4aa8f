"""Writing of shards by several processes, each with one shard at a time."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from reproducible_ml.datasets.rows import Reachable
from reproducible_ml.datasets.serialize.encoding import Encoder
from reproducible_ml.datasets.serialize.shard import ShardPlan, WrittenShard, write_shard
from reproducible_ml.utils.errors import DataError

_WATCH_SECONDS = 0.2


def write_by_workers(
    folder: str | Path,
    plans: Iterator[tuple[ShardPlan, Reachable]],
    encoder: Encoder,
    compression: str,
    workers: int,
) -> Iterator[WrittenShard]:
    """Write shards in worker processes.

    The processes are new ones, since TensorFlow does not survive a fork. joblib can send them
    handlers of any kind, even lambdas, and sends each shard's rows by value. At most two shards per
    worker are in progress or waiting at a time.

    Args:
        folder: Folder of the shards.
        plans: The shards, each with its rows.
        encoder: Makes the records; it has learnt the first one.
        compression: "", "GZIP" or "ZLIB".
        workers: Number of processes.

    Yields:
        The written shards, in the order of the plans.

    Raises:
        DataError: A row can't be handled, or a worker was killed.
    """
    from joblib import Parallel, delayed
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    run = Parallel(
        n_jobs=workers,
        return_as="generator",
        pre_dispatch="2*n_jobs",
        # joblib would combine small shards into one call, and so hold more of them in memory.
        batch_size=1,
        # joblib would copy arrays of a megabyte or more into shared memory and keep them until the
        # end, but a container often has only 64 MB of it.
        max_nbytes=None,
        # Set up before the first shard: an orphaned worker without one would wait for minutes.
        initializer=_end_with,
        initargs=(os.getpid(),),
    )
    calls = (
        delayed(write_shard)(str(folder), plan, rows, encoder, compression) for plan, rows in plans
    )
    try:
        yield from run(calls)
    except TerminatedWorkerError as error:
        raise DataError(
            f"A worker that wrote shards to {folder} was killed, perhaps for lack of memory. Use "
            "fewer workers, or a smaller samples_per_record."
        ) from error


@contextmanager
def ended_workers(workers: int) -> Iterator[None]:
    """End the processes of ``write_by_workers`` when the block ends.

    joblib would keep them and, for a call with another number of workers, resize the pool, which
    waits forever if a process can't start.
    """
    try:
        yield
    finally:
        if workers > 1:
            from joblib.externals.loky import get_reusable_executor

            get_reusable_executor().shutdown(wait=True)


def _end_with(parent: int) -> None:
    """End this process when its parent is killed; otherwise it would continue to write."""

    def watch() -> None:
        # An orphan gets another parent, which works on every Unix.
        while os.getppid() == parent:
            time.sleep(_WATCH_SECONDS)
        os._exit(1)

    threading.Thread(target=watch, name="watch parent", daemon=True).start()
