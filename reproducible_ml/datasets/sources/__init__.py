"""Sources of rows, in a table that a module of yours can add to."""

from __future__ import annotations

from reproducible_ml.datasets.sources.base import ArraySource, Source, recorded_path
from reproducible_ml.datasets.sources.csv_file import csv
from reproducible_ml.datasets.sources.digits import digits
from reproducible_ml.datasets.sources.folder import FolderSource, folder
from reproducible_ml.datasets.sources.mnist import mnist
from reproducible_ml.datasets.sources.npz import NpzArraySource, npz
from reproducible_ml.datasets.sources.opening import (
    SOURCES,
    check_source_name,
    is_name_of,
    is_path,
    is_source,
    make_source,
    reopen,
    source_keys,
)
from reproducible_ml.datasets.sources.parquet import parquet
from reproducible_ml.datasets.sources.table import TableSource
from reproducible_ml.datasets.sources.tfds import tfds

__all__ = [
    "SOURCES",
    "ArraySource",
    "FolderSource",
    "NpzArraySource",
    "Source",
    "TableSource",
    "check_source_name",
    "csv",
    "digits",
    "folder",
    "is_name_of",
    "is_path",
    "is_source",
    "make_source",
    "mnist",
    "npz",
    "parquet",
    "recorded_path",
    "reopen",
    "source_keys",
    "tfds",
]
