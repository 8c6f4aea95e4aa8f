"""A source that reads a data set of TensorFlow Datasets that is on the disk (the extra ``tfds``).

Nothing is downloaded, and none of the code that once made the data set is needed.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from reproducible_ml.datasets.sources.base import Source, recorded_path
from reproducible_ml.handlers import (
    ArrayHandler,
    FeatureHandler,
    ImageHandler,
    IntegersHandler,
    LabelHandler,
    TextHandler,
    checked_range,
)
from reproducible_ml.utils.digests import file_digest
from reproducible_ml.utils.errors import ConfigError, DataError

# Its name for a split -> that of this project; other splits are left out.
_SPLITS = {"train": "train", "validation": "eval", "test": "test"}


class TFDSRows:
    """Rows of one split in their order; a slice reads only its own shards.

    Args:
        builder: The data set's builder.
        split: TFDS's name of the split.
        keys: Features of a row.
        part: First row, and the one after the last.
    """

    def __init__(self, builder: Any, split: str, keys: Sequence[str], part: range) -> None:
        self._builder, self._split, self._keys, self._part = builder, split, keys, part

    def __len__(self) -> int:
        return len(self._part)

    def __getitem__(self, index: slice) -> TFDSRows:
        return TFDSRows(self._builder, self._split, self._keys, self._part[index])

    def __iter__(self) -> Iterator[dict[str, Any]]:
        import tensorflow_datasets as tfds

        if not self._part:
            return
        # One file after the other, so that the order is that of the files.
        one_by_one = tfds.ReadConfig(interleave_cycle_length=1)
        rows = self._builder.as_dataset(
            split=f"{self._split}[{self._part.start}:{self._part.stop}]",
            shuffle_files=False,
            read_config=one_by_one,
        )
        for row in tfds.as_numpy(rows):
            yield {key: row[key] for key in self._keys}


class TFDSSource(Source):
    """A data set in the files of TensorFlow Datasets; see ``tfds``."""

    name = "tfds"

    def __init__(
        self,
        tfds_dir: str | Path,
        feature_keys: Sequence[str] | None = None,
        value_range: Sequence[float] | None = None,
    ) -> None:
        self._range = checked_range(value_range)
        tfds = _tfds()
        self._folder = Path(tfds_dir)
        if not (self._folder / "dataset_info.json").is_file():
            raise DataError(
                f"{tfds_dir} holds no dataset_info.json. Name the folder of one version, such as "
                "tfds_dir=~/tensorflow_datasets/mnist/3.0.1; it is not downloaded."
            )
        self._builder = tfds.builder_from_directory(self._folder)
        features = self._builder.info.features
        # TFDS itself names them in another order in each process.
        self._keys = sorted(features) if feature_keys is None else list(feature_keys)
        for key in self._keys:
            if key not in features:
                raise ConfigError(
                    f"{tfds_dir} has no feature {key!r}; it has {', '.join(sorted(features))}"
                )
        self.arguments = {"tfds_dir": recorded_path(self._folder), "feature_keys": self._keys}
        if self._range is not None:
            self.arguments["value_range"] = list(self._range)
        self._rows = {}
        for split, ours in _SPLITS.items():
            if split in self._builder.info.splits:
                count = self._builder.info.splits[split].num_examples
                self._rows[ours] = TFDSRows(self._builder, split, self._keys, range(count))
        if "train" not in self._rows:
            found = ", ".join(self._builder.info.splits)
            raise DataError(f"{tfds_dir} has no split train; it has {found or 'none'}.")
        self.split_to_size = {split: len(rows) for split, rows in self._rows.items()}
        self.keys_to_handlers = {key: self._handler(key, features[key]) for key in self._keys}
        self.keys_to_descriptions = {
            key: f"Feature {key} of {self._builder.info.full_name}" for key in self._keys
        }

    def _handler(self, key: str, feature: Any) -> FeatureHandler:
        import numpy as np
        import tensorflow_datasets as tfds

        if isinstance(feature, tfds.features.Text):
            return TextHandler()
        if isinstance(feature, tfds.features.ClassLabel):
            return LabelHandler(feature.num_classes)
        shape = feature.shape if isinstance(feature.shape, tuple) else (None, None)
        try:
            dtype = np.dtype(feature.np_dtype)
        except (TypeError, ValueError):
            dtype = np.dtype(object)
        if isinstance(feature, tfds.features.Image):
            if None in shape:
                return ImageHandler(encoding="png", dtype=dtype.name, value_range=self._range)
            return ImageHandler(shape, dtype.name, value_range=self._range)
        if shape == () and dtype.kind in "iub":
            return LabelHandler()
        if shape == (None,) and dtype.kind in "iu":
            return IntegersHandler()
        if None not in shape and dtype.kind in "iubf":
            return ArrayHandler(shape, dtype.name)
        others = [one for one in self._keys if one != key]
        raise DataError(
            f"{self._folder}: the feature {key!r} is {feature!r}, which no handler takes. Leave it "
            f"out: feature_keys={others}."
        )

    def rows_gen(self, split: str) -> Any:
        """Return the rows of a split."""
        return self._rows[split]

    def digest(self) -> str:
        """Digest every file's name and content."""
        digest = hashlib.sha256()
        for path in sorted(one for one in self._folder.iterdir() if one.is_file()):
            digest.update(f"{path.name} {file_digest(path)}\n".encode())
        return digest.hexdigest()


def prepared_folder(name: str) -> str:
    """Find a data set that TFDS has prepared in its own folder.

    That is ``~/tensorflow_datasets``, or the folder that the variable ``TFDS_DATA_DIR`` names.

    Args:
        name: As TFDS writes it: ``mnist``, ``mnist:3.0.1`` or ``glue/cola``.

    Returns:
        The folder of its newest version, or of the one that is named.

    Raises:
        ConfigError: TensorFlow Datasets is not installed.
        DataError: It is not there.
    """
    tfds = _tfds()
    from tensorflow_datasets.core.read_only_builder import builder_from_files

    # TFDS reads the variable once, when it is imported.
    place = Path(os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets").expanduser()
    try:
        return str(builder_from_files(name, data_dir=str(place)).data_path)
    except (tfds.core.DatasetNotFoundError, ValueError) as error:
        raise DataError(
            f"{place} holds no prepared data set {name!r}. Prepare it with TFDS (tfds build "
            f"{name}), set TFDS_DATA_DIR, or name its folder: source=tfds tfds_dir=..."
        ) from error


def _tfds() -> Any:
    try:
        import tensorflow_datasets
    except ImportError as error:
        raise ConfigError(
            f"TensorFlow Datasets can't be imported ({error}). Install it: pip install "
            "'reproducible-ml[tfds]'."
        ) from error
    return tensorflow_datasets


def tfds(
    tfds_dir: str | None = None,
    feature_keys: Sequence[str] | None = None,
    value_range: Sequence[float] | None = None,
    **unused: Any,
) -> TFDSSource:
    """Open a data set of TensorFlow Datasets that was downloaded and prepared before.

    Its splits train, validation (which becomes eval) and test are read, in the order of its files.

    Args:
        tfds_dir: The folder of one version, such as ``~/tensorflow_datasets/mnist/3.0.1``.
        feature_keys: Features to read; None for all.
        value_range: (low, high), the values of its images that become -1 and 1; None takes them
            from their dtype and values.
        **unused: Arguments of other sources.

    Raises:
        ConfigError: There is no such feature, or TensorFlow Datasets is not installed.
        DataError: There is no such folder, or no handler takes a feature.
    """
    if not tfds_dir:
        raise DataError("source=tfds needs a folder: tfds_dir=~/tensorflow_datasets/mnist/3.0.1.")
    return TFDSSource(Path(tfds_dir).expanduser(), feature_keys, value_range)
