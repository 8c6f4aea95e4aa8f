"""The stage that writes a data set."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from reproducible_ml.datasets.serialize import Manifest, serialize_source
from reproducible_ml.datasets.sources import Source
from reproducible_ml.models.exact import quiet_tensorflow
from reproducible_ml.stages.data_choice import (
    check_place,
    open_source,
    raw_digests,
    source_inputs,
)
from reproducible_ml.tracking.recording import record_dataset, record_digest, record_stage, seal_run

# An eighth of the range of bytes.
_DARK = 32


def serialize_stage(
    run: Any, config: Mapping[str, Any], source: Source | None = None
) -> dict[str, Any]:
    """Write a data set.

    Args:
        run: The running Sacred run.
        config: Keys as in ``experiments.mnist_serialize``; those that name the source may be
            missing if ``source`` is given.
        source: Source of the rows; None for the source that the configuration names.

    Returns:
        The run's result: records by split, and the fingerprint.
    """
    quiet_tensorflow()
    inputs = source_inputs(config, {} if source is None else {"arguments": source.arguments})
    record_stage(run, inputs=inputs, outputs=("record_dir",))
    if source is None:
        check_place(run, config)
        source = open_source(config)
    for remark in source.remarks():
        print(remark, flush=True)
    manifest = serialize_source(
        source,
        config["record_dir"],
        record_pattern=config["record_pattern"],
        samples_per_record=config["samples_per_record"],
        compression=config["compression"],
        overwrite=config["overwrite"],
        workers=config["workers"],
    )
    for remark in _dark(manifest):
        print(remark, flush=True)
    record_dataset(run, "records", manifest)
    # The digest of the raw data, so that a rerun's verdict names it if it has changed.
    record_digest(run, {"data": manifest.fingerprint, **raw_digests(manifest.source)})
    seal_run(run, {})
    records = {name: split.records for name, split in manifest.splits.items()}
    print(f"{sum(records.values()):,} records in {config['record_dir']}")
    return {"records": records, "fingerprint": manifest.fingerprint}


def _dark(manifest: Manifest) -> Iterator[str]:
    """Say which features hold bytes that use a small part of their range only."""
    for key, schema in manifest.features.items():
        span = schema.span
        if schema.dtype != "uint8" or schema.value_range != (0.0, 255.0) or span is None:
            continue
        # The range of bytes is known, so this is no error: it may be a dark room.
        if 0 < span.maximum < _DARK:
            yield (
                f"{key} holds values of {span.minimum} to {span.maximum} only and is read as 0 to "
                f"255, so all images are dark; if {span.maximum} is white, state "
                f"value_range=[0,{span.maximum}]."
            )
