"""The manifest, ``dataset.json``: the file beside the shards that makes them a data set.

It is written last, so a folder without it holds no data set. It contains a checksum of itself and
of every shard, and the fingerprint: a digest of the ordered content that does not depend on shard
size, compression, number of workers or machine. See docs/data-format.md.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from reproducible_ml.handlers import FeatureSchema
from reproducible_ml.utils.errors import DataError
from reproducible_ml.utils.files import replacing

MANIFEST_FILE = "dataset.json"
# Appended to the name of a shard while a repair writes it.
REPAIR_SUFFIX = ".repair"
FORMAT_NAME = "reproducible-ml data set"
FORMAT_VERSION = 1
SPLITS = ("train", "eval", "test")
COMPRESSIONS = ("", "GZIP", "ZLIB")
# The advice for a damaged manifest: only the manifest says what the shards must contain.
_RESTORE = "Restore it from a backup, or serialize the data set again"


@dataclass(frozen=True)
class Shard:
    """One file of records.

    Attributes:
        file: File name within the data set's folder.
        records: Number of records.
        bytes: Size of the file.
        checksum: CRC-32C of the file, as 8 hexadecimal digits.
    """

    file: str
    records: int
    bytes: int
    checksum: str


@dataclass(frozen=True)
class Split:
    """The shards of one split, in order.

    Attributes:
        records: Number of records in all shards.
        shards: The shards.
        content: SHA-256 over each record's length (uint64) and payload CRC-32C (uint32),
            little-endian, in order.
    """

    records: int
    shards: tuple[Shard, ...]
    content: str


@dataclass(frozen=True)
class Manifest:
    """The description of a data set.

    Attributes:
        record_dir: Folder of the manifest and the shards.
        features: Schema by feature name.
        splits: Splits by name, in the order train, eval, test.
        compression: "", "GZIP" or "ZLIB".
        fingerprint: Digest of schema and ordered content, 64 hexadecimal digits.
        record_pattern: Format pattern of the shard names.
        samples_per_record: Records in each full shard.
        source: Name, arguments and raw-data digest of the source of the rows.
        handlers: Settings of the handlers, by feature name.
        library_version: Version of the library that wrote the data set.
        format_version: Version of this format.
    """

    record_dir: str
    features: dict[str, FeatureSchema]
    splits: dict[str, Split]
    compression: str
    fingerprint: str
    record_pattern: str
    samples_per_record: int
    source: dict[str, Any] = field(default_factory=dict)
    handlers: dict[str, Any] = field(default_factory=dict)
    library_version: str = ""
    format_version: int = FORMAT_VERSION

    @property
    def path(self) -> Path:
        """The path of the manifest file."""
        return Path(self.record_dir) / MANIFEST_FILE

    def moved_to(self, record_dir: str) -> Manifest:
        """Return the manifest of the same data set in another folder."""
        return replace(self, record_dir=record_dir)

    def to_json(self) -> dict[str, Any]:
        """Return the manifest as JSON types, without ``record_dir``: a data set can be moved."""
        values: dict[str, Any] = {"format": FORMAT_NAME}
        values.update({name: value for name, value in vars(self).items() if name != "record_dir"})
        values["features"] = {key: schema.to_json() for key, schema in self.features.items()}
        values["splits"] = {name: asdict(split) for name, split in self.splits.items()}
        return values


def pack_content(lengths: Any, crcs: Any) -> bytes:
    """Pack the bytes over which a split's content digest (SHA-256) is computed.

    Args:
        lengths: Size of each record's payload in bytes, in order.
        crcs: CRC-32C of each payload.

    Returns:
        The length (uint64) and the CRC (uint32) of each record, little-endian.
    """
    packed = np.empty(len(lengths), np.dtype([("length", "<u8"), ("crc", "<u4")]))
    packed["length"] = lengths
    packed["crc"] = crcs
    return packed.tobytes()


def compute_fingerprint(
    features: Mapping[str, FeatureSchema], splits: Mapping[str, tuple[int, str]]
) -> str:
    """Compute the fingerprint of a data set.

    Args:
        features: Schema by feature name; descriptions and spans of values are ignored.
        splits: Number of records and content digest of each split.

    Returns:
        SHA-256 over the canonical JSON of both, as 64 hexadecimal digits.
    """
    schema = {key: features[key].described("").spanning(None).to_json() for key in features}
    content = [[name, *splits[name]] for name in SPLITS if name in splits]
    return hashlib.sha256(_canonical([schema, content])).hexdigest()


def manifest_text(manifest: Manifest) -> str:
    """Return the content of a manifest file."""
    values = manifest.to_json()
    values["checksum"] = hashlib.sha256(_canonical(values)).hexdigest()
    return json.dumps(values, indent=1, ensure_ascii=False) + "\n"


def write_manifest(manifest: Manifest) -> Path:
    """Write the manifest beside its shards: sync it, then rename it into place.

    Returns:
        The path of the manifest.
    """
    with replacing(manifest.path, synced=True) as file:
        file.write(manifest_text(manifest).encode("utf-8"))
    return manifest.path


def read_manifest(record_dir: str | Path) -> Manifest:
    """Read and check the manifest of a folder.

    Args:
        record_dir: Folder of a data set.

    Raises:
        DataError: There is no manifest, it has another format, or its values were altered. A
            different layout of the same values is accepted, see ``is_as_written``.
    """
    path = Path(record_dir) / MANIFEST_FILE
    try:
        values = json.loads(path.read_bytes(), object_pairs_hook=_without_duplicates)
    except FileNotFoundError:
        raise DataError(
            f"{record_dir} holds no data set: there is no {MANIFEST_FILE}. Serialize one first, "
            "for example: python -m experiments.mnist_serialize with digits "
            f"record_dir={record_dir}"
        ) from None
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path} can't be read: {error}. {_RESTORE}.") from error
    if not isinstance(values, dict) or values.get("format") != FORMAT_NAME:
        raise DataError(f"{path} is not a manifest of this library. Serialize the data set again.")
    if values.get("format_version") != FORMAT_VERSION:
        raise DataError(
            f"{path} has data format {values.get('format_version')!r}, this library reads format "
            f"{FORMAT_VERSION}. Serialize the data set again, or use the library version "
            f"{values.get('library_version')!r} that wrote it."
        )
    checksum = values.pop("checksum", None)
    if checksum != hashlib.sha256(_canonical(values)).hexdigest():
        raise DataError(
            f"{path} was altered: its checksum does not match its content. {_RESTORE}"
            f"{_origin(values)}."
        )
    try:
        return _from_json(str(record_dir), values)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(
            f"{path} is incomplete: {error!r}. Serialize the data set again."
        ) from error


def is_as_written(manifest: Manifest) -> bool:
    """Return whether the manifest file holds exactly the bytes that were written."""
    return manifest.path.read_bytes() == manifest_text(manifest).encode("utf-8", "surrogatepass")


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Build a JSON object, refusing duplicate keys, of which ``json`` silently drops the first."""
    values = dict(pairs)
    if len(values) != len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"the key {twice!r} appears twice in one object")
    return values


def _origin(values: dict[str, Any]) -> str:
    """Describe the source of the rows as far as an altered manifest still records it."""
    source = values.get("source")
    if not isinstance(source, dict) or not source.get("name"):
        return " from where its rows came (no source is recorded)"
    return f" from the source that it records: {source['name']} {source.get('arguments', '')}"


def _from_json(record_dir: str, values: dict[str, Any]) -> Manifest:
    values = dict(values)
    del values["format"]
    features = {key: FeatureSchema.from_json(value) for key, value in values["features"].items()}
    splits = {}
    for name, split in values["splits"].items():
        shards = tuple(Shard(**shard) for shard in split["shards"])
        for shard in shards:
            _check_name(record_dir, shard.file)
        splits[name] = Split(split["records"], shards, split["content"])
    if values["compression"] not in COMPRESSIONS:
        raise DataError(f"{record_dir}: unknown compression {values['compression']!r}.")
    values.update(features=features, splits=splits)
    return Manifest(record_dir=record_dir, **values)


def _check_name(record_dir: str, name: str) -> None:
    """Refuse shard names that point outside the folder."""
    parts = Path(name).parts
    if not parts or Path(name).is_absolute() or ".." in parts:
        raise DataError(f"{record_dir}: the manifest lists a shard outside its folder: {name!r}.")


def _canonical(values: Any) -> bytes:
    """Encode as canonical JSON: sorted keys, no spaces, ASCII."""
    return json.dumps(values, sort_keys=True, separators=(",", ":")).encode("ascii")
