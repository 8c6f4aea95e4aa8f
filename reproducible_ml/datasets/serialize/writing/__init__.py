"""Writing of whole data sets, by one process or several."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reproducible_ml.utils.lazy import lazy_names

if TYPE_CHECKING:
    from reproducible_ml.datasets.serialize.writing.from_source import (
        serialize_npz,
        serialize_source,
    )
    from reproducible_ml.datasets.serialize.writing.records import (
        get_writer,
        make_manifest,
        write_records,
        write_samples,
        wrong_number,
    )
else:
    __getattr__, __dir__ = lazy_names(__name__)

__all__ = [
    "get_writer",
    "make_manifest",
    "serialize_npz",
    "serialize_source",
    "write_records",
    "write_samples",
    "wrong_number",
]
