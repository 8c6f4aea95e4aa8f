"""Shards by several processes, one shard each at a time."""

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

    The processes are fresh ones, since TensorFlow does not survive a fork. joblib hands them
    handlers of any kind, lambdas too, and each shard's rows by value. No more than two shards a
    worker are on their way at a time.

    Args:
        folder: Where to write them.
        plans: The shards, each with its rows.
        encoder: Makes the records; it has learnt the first one.
        compression: "", "GZIP" or "ZLIB".
        workers: Number of processes.

    Yields:
        What was written, in the order of the plans.

    Raises:
        DataError: A row can't be handled, or a worker was killed.
    """
    from joblib import Parallel, delayed
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    run = Parallel(
        n_jobs=workers,
        return_as="generator",
        pre_dispatch="2*n_jobs",
        # joblib would put several small shards into one call, and more of them on their way.
        batch_size=1,
        # It would copy arrays of a megabyte and more into shared memory and keep them there until
        # the end, where a container often has 64 MB of it in all.
        max_nbytes=None,
        # From the start, since a worker that got no shard yet would wait for one for minutes.
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
            f"A worker that wrote shards to {folder} was killed, perhaps for lack of memory. Give "
            "fewer workers, or a smaller samples_per_record."
        ) from error


@contextmanager
def ended_workers(workers: int) -> Iterator[None]:
    """End the processes of ``write_by_workers`` with the block.

    joblib keeps them for the next call and then changes their number, which waits for ever where
    one of them can't start.
    """
    try:
        yield
    finally:
        if workers > 1:
            from joblib.externals.loky import get_reusable_executor

            get_reusable_executor().shutdown(wait=True)


def _end_with(parent: int) -> None:
    """End this process when its parent was killed, which would go on writing otherwise."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_WATCH_SECONDS)
        os._exit(1)

    threading.Thread(target=watch, name="watch parent", daemon=True).start()
