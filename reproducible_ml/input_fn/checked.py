"""A memory of data sets that passed a full check, so that a large one is not read at every start.

For each folder and split, a small file in the user's cache folder keeps a digest of everything that
the check depended on: the fingerprint, and for each shard its listed checksum, inode, size and
times. Writing to a shard or replacing it changes at least the ctime, which, unlike the mtime, can't
be set by hand. If the cache can't be read or written, it is ignored.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from reproducible_ml.input_fn.shards import shard_paths
from reproducible_ml.utils.files import write_json
from reproducible_ml.utils.paths import cache_folder

if TYPE_CHECKING:
    from reproducible_ml.datasets.serialize import Manifest

# File systems round times to as much as 2 seconds; a change within this span would leave no trace.
_TICK_SECONDS = 2.0
_MOST_ENTRIES = 256


def cache_file() -> Path:
    """Return the path of the cache file."""
    return cache_folder() / "checked.json"


def stamp(manifest: Manifest, split: str) -> str | None:
    """Digest everything that a full check of a split depends on.

    Returns:
        64 hexadecimal digits; None if a shard can't be examined, or changed so recently that a
        further change might not show.
    """
    known: list[object] = [manifest.fingerprint]
    newest = 0.0
    try:
        for path, shard in zip(shard_paths(manifest, split), manifest.splits[split].shards):
            found = os.stat(path)
            newest = max(newest, found.st_ctime, found.st_mtime)
            times = (found.st_mtime_ns, found.st_ctime_ns)
            known.append((shard.checksum, found.st_dev, found.st_ino, found.st_size, *times))
    except OSError:
        return None
    if newest > time.time() - _TICK_SECONDS:
        return None
    return hashlib.sha256(json.dumps(known).encode()).hexdigest()


def is_known(manifest: Manifest, split: str, found: str | None) -> bool:
    """Return whether a split with this stamp has passed a full check."""
    return found is not None and _read().get(_key(manifest, split)) == found


def remember(manifest: Manifest, split: str, found: str | None) -> None:
    """Record that a split with this stamp has passed a full check."""
    if found is None:
        return
    entries = _read()
    # Moved to the end, since the oldest entries are at the front.
    entries.pop(_key(manifest, split), None)
    entries[_key(manifest, split)] = found
    kept = dict(list(entries.items())[-_MOST_ENTRIES:])
    path = cache_file()
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        # Unsorted, since the order of the keys is that of their age.
        write_json(path, kept, indent=1, sort_keys=False)


def _key(manifest: Manifest, split: str) -> str:
    return f"{os.path.realpath(manifest.record_dir)}:{split}"


def _read() -> dict[str, str]:
    try:
        entries = json.loads(cache_file().read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return entries if isinstance(entries, dict) else {}
