"""Serialize a digit data set into TFRecord shards.

$ python -m experiments.mnist_serialize with npz_file=mnist.npz
$ python -m experiments.mnist_serialize with digits
$ python -m experiments.mnist_serialize with samples_per_record=10000 compression=GZIP
"""

from typing import Any

from reproducible_ml.stages import check_data, serialize_stage
from reproducible_ml.tracking import experiment

ex = experiment(
    "mnist_serialize",
    writes=["record_dir"],
    types={
        "npz_file": (str, None),
        "image_dir": (str, None),
        "image_dtype": (str, None),
        "value_range": (list, None),
        "csv_file": (str, None),
        "parquet_file": (str, None),
        "tfds_dir": (str, None),
        "feature_keys": (list, None),
        "columns": (dict, None),
        "split_column": (str, None),
        "split_fractions": (dict, None),
    },
    check=check_data,
    # Runs in one process even if TF_CONFIG names a cluster, so every start is recorded.
    autolog=False,
)


@ex.config
def config() -> None:
    """The full MNIST: 55,000 train, 5,000 eval and 10,000 test records."""
    source = "mnist"  # of the rows: mnist, digits, npz, folder, csv, parquet, tfds, tfds:NAME
    npz_file = None  # path of mnist.npz (or of any NPZ for source=npz); None: Keras' cache
    image_dir = None  # for source=folder: a folder with a sub-folder of images per class
    image_shape = [64, 64, 3]  # for source=folder: shape to which images are resized
    image_dtype = None  # for source=folder: uint8 (None), or uint16 to keep 16 bits
    value_range = None  # for npz, folder and tfds: [0, 4095] become -1 and 1; None: from the values
    csv_file = None  # for source=csv
    parquet_file = None  # for source=parquet
    tfds_dir = None  # for source=tfds: the folder of one version of a data set
    feature_keys = None  # for source=tfds: the features to read; None: all
    columns = None  # for tables: types of columns, {"age": "float32"}; the rest is inferred
    split_column = None  # for tables: a column that says train, eval or test
    split_fractions = None  # for tables: {"eval": 0.1, "test": 0.1} of the rows
    split_seed = 0  # for tables: draws which rows these are
    record_dir = "data/mnist"  # folder of the shards and dataset.json
    record_pattern = "{}-{:05d}.tfrecord"  # formatted with the split and the shard's index
    samples_per_record = 5000  # records per shard
    compression = ""  # "", GZIP or ZLIB
    workers = 1  # processes; more pay off for image files, with the same bytes
    overwrite = False  # replace an existing data set


@ex.named_config
def digits() -> None:
    """scikit-learn's 1,797 bundled digits: nothing to download."""
    source = "digits"
    record_dir = "data/digits"
    samples_per_record = 500


@ex.named_config
def smoke() -> None:
    """The bundled digits in small shards, done in seconds."""
    source = "digits"
    record_dir = "data/smoke"
    samples_per_record = 100


@ex.automain
def main(_run: Any, _config: Any) -> Any:
    """Write the records."""
    return serialize_stage(_run, _config)
