"""The checkpoint from which an Estimator takes its first weights: an input of its training."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reproducible_ml.utils.digests import checkpoint_files, combined_digest

MISSING = "missing"


@dataclass(frozen=True)
class WarmStart:
    """Where an Estimator's first weights are from.

    Attributes:
        path: What the Estimator was given: a folder of checkpoints, or the prefix of one.
        digest: Digest of the checkpoint's files; "missing" if there are none.
    """

    path: str
    digest: str


def warm_start_of(estimator: Any) -> WarmStart | None:
    """Return the checkpoint that an Estimator starts from; None if it draws its first weights."""
    import tensorflow as tf

    settings = getattr(estimator, "_warm_start_settings", None)
    if settings is None:
        return None
    given = os.fspath(settings.ckpt_to_initialize_from)
    prefix = tf.train.latest_checkpoint(given) if os.path.isdir(given) else given
    files = {} if prefix is None else checkpoint_files(Path(prefix))
    digests = {Path(name).suffix: facts["sha256"] for name, facts in files.items()}
    return WarmStart(given, combined_digest(digests) if digests else MISSING)
