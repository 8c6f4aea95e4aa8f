"""The paths of a split's shards, and the records in each."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from reproducible_ml.datasets.serialize import Manifest


def shard_paths(manifest: Manifest, split: str) -> list[str]:
    """List a split's shard files in the order of the manifest."""
    return [
        os.path.join(str(manifest.record_dir), shard.file)
        for shard in manifest.splits[split].shards
    ]


def first_records(manifest: Manifest, split: str) -> npt.NDArray[np.int64]:
    """Return the index of each shard's first record, and the record count: int64 [shards + 1]."""
    import numpy as np

    counts: list[Any] = [shard.records for shard in manifest.splits[split].shards]
    return np.concatenate([[0], np.cumsum(counts, dtype=np.int64)]).astype(np.int64)
