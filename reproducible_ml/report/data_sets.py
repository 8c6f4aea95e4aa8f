"""Data sets that the runs of a report read or wrote, each described once from its manifest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from reproducible_ml.tracking.runs import kept_manifests, source_text
from reproducible_ml.utils.text import SHORT_DIGEST, counted, shown, size

if TYPE_CHECKING:
    from reproducible_ml.tracking.runs import Run

Facts = list[tuple[str, str]]
Table = list[list[str]]
FEATURE_COLUMNS = ("feature", "kind", "type", "shape", "stored as", "values", "what it is")
SPLIT_COLUMNS = ("split", "records", "shards", "bytes", "content digest")
SHARD_COLUMNS = ("shard", "records", "bytes", "CRC-32C")


@dataclass
class DataSet:
    """One data set.

    Attributes:
        fingerprint: Digest of its schema and ordered content.
        facts: Names and values of known facts.
        used_by: Runs that use it, each with its key.
        features: A line for each feature, as in ``FEATURE_COLUMNS``.
        splits: A line for each split, as in ``SPLIT_COLUMNS``.
        shards: A line for each file, as in ``SHARD_COLUMNS``.
        missing: What is unknown, and why.
    """

    fingerprint: str
    facts: Facts
    used_by: list[str] = field(default_factory=list)
    features: Table = field(default_factory=list)
    splits: Table = field(default_factory=list)
    shards: Table = field(default_factory=list)
    missing: str = ""

    @property
    def short(self) -> str:
        """The fingerprint, shortened for headings."""
        return self.fingerprint[:SHORT_DIGEST]


def data_sets(runs: Sequence[Run]) -> list[DataSet]:
    """Describe the data sets of some runs, each once."""
    found: dict[str, DataSet] = {}
    for run in runs:
        recorded = run.facts.get("dataset") or {}
        known = kept_manifests(run) if recorded else {}
        for key, facts in recorded.items():
            fingerprint = str(facts.get("fingerprint"))
            if fingerprint not in found or (found[fingerprint].missing and fingerprint in known):
                used_by = found[fingerprint].used_by if fingerprint in found else []
                found[fingerprint] = describe(fingerprint, facts, known.get(fingerprint))
                found[fingerprint].used_by = used_by
            found[fingerprint].used_by.append(
                f"run {run.id} as {key}, from {facts.get('record_dir') or 'an unknown place'}"
            )
    return list(found.values())


def describe(
    fingerprint: str, recorded: Mapping[str, Any], manifest: Mapping[str, Any] | None
) -> DataSet:
    """Describe one data set.

    Args:
        fingerprint: Fingerprint of the data set.
        recorded: Facts about it from the run's ``info``.
        manifest: Manifest of the data set; None if the run does not keep it.
    """
    if manifest is None:
        counts = (recorded.get("records") or {}).items()
        return DataSet(
            fingerprint,
            [],
            splits=[[name, f"{records:,}", "-", "-", "-"] for name, records in counts],
            missing="The manifest is not kept with the run: features and shards are not known.",
        )
    splits: Mapping[str, Any] = manifest["splits"]
    shards = [shard for split in splits.values() for shard in split["shards"]]
    return DataSet(
        fingerprint,
        [
            ("source", source_text(manifest.get("source") or {})),
            ("source digest", str((manifest.get("source") or {}).get("digest") or "not recorded")),
            *_files((manifest.get("source") or {}).get("files") or {}),
            ("compression", manifest.get("compression") or "none"),
            ("records a shard", f"{manifest['samples_per_record']:,}"),
            ("names of shards", str(manifest["record_pattern"])),
            (
                "size",
                f"{size(sum(one['bytes'] for one in shards))} in {counted(len(shards), 'shard')}",
            ),
            ("written by", f"reproducible-ml {manifest.get('library_version') or '-'}"),
        ],
        features=[_feature(name, one) for name, one in manifest["features"].items()],
        splits=[
            [
                name,
                f"{one['records']:,}",
                str(len(one["shards"])),
                size(sum(shard["bytes"] for shard in one["shards"])),
                str(one["content"]),
            ]
            for name, one in splits.items()
        ],
        shards=[
            [one["file"], f"{one['records']:,}", size(one["bytes"]), str(one["checksum"])]
            for one in shards
        ],
    )


def _files(files: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Say which files of a folder were taken, left out and converted."""
    found = []
    if files.get("taken"):
        found.append(("images of each class", shown(files["taken"])))
    for title, key in (("left out", "left_out"), ("converted", "converted")):
        parts = [
            f"{counted(one['files'], 'file')} {what} ({', '.join(one['first'])}"
            f"{', …' if one['files'] > len(one['first']) else ''})"
            for what, one in (files.get(key) or {}).items()
        ]
        if parts:
            found.append((title, shown("; ".join(parts))))
    return found


def _feature(name: str, schema: Mapping[str, Any]) -> list[str]:
    shape = schema.get("shape")
    ends = (schema.get("minimum"), schema.get("maximum"))
    # Values without a range are read as they are.
    range_ = schema.get("value_range") or (None if None in ends else ends)
    return [
        name,
        str(schema.get("kind", "-")),
        str(schema.get("dtype") or "-"),
        "varies" if shape is None else " x ".join(map(str, shape)) or "single value",
        str(schema.get("encoding") or "-"),
        "-" if not range_ else f"{range_[0]:g} to {range_[1]:g}",
        str(schema.get("description") or "-"),
    ]
