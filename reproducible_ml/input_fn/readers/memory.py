"""A reader for data that fits into memory: it decodes all records once, then gathers by index.

The records are read in the graph when the iterator is initialized, so neither the data nor a Python
function becomes part of the graph, and TensorFlow checks the CRC of each record. Values stay in the
dtype in which they were written.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from reproducible_ml.input_fn.parse import is_ragged, parse_batch
from reproducible_ml.input_fn.shards import shard_paths

if TYPE_CHECKING:
    import tensorflow as tf

    from reproducible_ml.datasets.serialize import Manifest
    from reproducible_ml.handlers import FeatureSchema

PARSE_BATCH = 1024


def memory_gather(
    manifest: Manifest, split: str, features: Mapping[str, FeatureSchema]
) -> Callable[[tf.Tensor], dict[str, Any]]:
    """Read the records into memory and return a function that gathers from them.

    Args:
        manifest: The data set's manifest.
        split: Name of the split.
        features: The features to keep, by name.

    Returns:
        A function from int64 indices [n] to ``{key: tensor [n, *shape]}``, ragged if it varies.
    """
    import tensorflow as tf

    records = manifest.splits[split].records
    paths = shard_paths(manifest, split)
    dataset = tf.data.TFRecordDataset(paths, compression_type=manifest.compression)
    # TensorFlow can't join batches of ragged tensors.
    at_once = records if any(map(is_ragged, features.values())) else PARSE_BATCH
    dataset = dataset.batch(at_once).map(lambda batch: parse_batch(batch, features))
    # A single element with all records.
    if at_once < records:
        dataset = dataset.rebatch(records)
    columns = dict(dataset.get_single_element())
    for key, schema in features.items():
        if not is_ragged(schema):
            columns[key] = tf.ensure_shape(columns[key], [records, *(schema.shape or ())])

    def gather(indices: tf.Tensor) -> dict[str, Any]:
        return {key: tf.gather(column, indices) for key, column in columns.items()}

    return gather
