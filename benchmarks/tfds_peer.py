"""MNIST-like images written with TFDS in the usual way, for comparison."""

from __future__ import annotations

import io
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import tensorflow_datasets as tfds


class DigitsTensor(tfds.core.GeneratorBasedBuilder):
    """Images stored as raw bytes, as by the other contenders."""

    VERSION = tfds.core.Version("1.0.0")
    rows: Any = None

    def _image(self, shape: tuple[int, ...]) -> Any:
        import numpy as np

        return tfds.features.Tensor(shape=shape, dtype=np.uint8)

    def _info(self) -> Any:
        import numpy as np

        features = {
            "image": self._image((28, 28, 1)),
            "label": tfds.features.Scalar(dtype=np.int64),
        }
        return self.dataset_info_from_configs(features=tfds.features.FeaturesDict(features))

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
        return {"train": self._generate_examples()}

    def _generate_examples(self) -> Any:
        images, labels = type(self).rows
        for number, (image, label) in enumerate(zip(images, labels)):
            yield number, {"image": image[..., None], "label": int(label)}


class DigitsImage(DigitsTensor):
    """Images stored as PNG by TFDS's own image feature."""

    VERSION = tfds.core.Version("1.0.0")

    def _image(self, shape: tuple[int, ...]) -> Any:
        return tfds.features.Image(shape=shape)


def write(folder: Path, images: Any, labels: Any, png: bool = False) -> Any:
    """Write a data set to an empty folder; return its builder."""
    tfds.disable_progress_bar()
    kind = DigitsImage if png else DigitsTensor
    kind.rows = images, labels
    builder = kind(data_dir=str(folder))
    with redirect_stdout(io.StringIO()):
        builder.download_and_prepare()
    return builder


def read(builder: Any, batch_size: int, buffer: int, scale: Any) -> Any:
    """Return one shuffled epoch as the TFDS guide reads it."""
    import tensorflow as tf

    name, folder = builder.name, str(Path(builder.data_dir).parents[1])
    data = tfds.load(name, split="train", data_dir=folder, shuffle_files=True, download=False)
    data = data.shuffle(buffer).batch(batch_size)
    data = data.map(lambda batch: scale(batch["image"], batch["label"]))
    return data.prefetch(tf.data.AUTOTUNE)
