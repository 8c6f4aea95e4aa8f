"""Code of earlier versions whose trainings this version resumes bit for bit.

Whoever changes the bits of a training removes the entries: a ``model_dir`` of such a version is
then refused with a sentence. ``tests/test_records_of_before.py`` resumes trainings of each.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping


def code_digest(code: Mapping[str, str]) -> str:
    """Digest the group ``code`` of a training's identity."""
    return hashlib.sha256(json.dumps(code, sort_keys=True).encode()).hexdigest()


# Digest of the identity's code -> where that code is. The first is by file, as version 1.0 wrote.
KNOWN_EQUAL = {
    "9e2af8edc2c2a5fd3e347c4db84956c6d4d1f6fe494e307370b54b4c13fe648f": "1.0.0 at commit 1705972",
}
